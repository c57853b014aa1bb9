-- How many runs of each task were deleted, kept beside the counts as if it were a state (9): whoever
-- remembers a total sees by the two whether the same runs are still there.
CREATE OR REPLACE FUNCTION count_removed_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_counts AS kept (company_id, task_id, state, cause, lane, count)
    SELECT company_id, task_id, state, coalesce(cause, 0),
           current_setting('runyard.lane')::bigint, - count(*)
      FROM removed
     GROUP BY company_id, task_id, state, coalesce(cause, 0)
     UNION ALL
    SELECT company_id, task_id, 9, 0, current_setting('runyard.lane')::bigint, count(*)
      FROM removed
     GROUP BY company_id, task_id
    ON CONFLICT (company_id, task_id, state, cause, lane)
    DO UPDATE SET count = kept.count + excluded.count;
    RETURN NULL;
END $$;
