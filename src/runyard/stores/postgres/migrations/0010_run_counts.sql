-- How many runs of each task are in each state, and with which cause; kept in the transaction that
-- changes them. Each writing connection adds to rows of its own, so that none waits for another; the
-- sum over the lanes is the count. Only lanes count: whoever copies tables copies the counts too.
CREATE TABLE run_counts (
    company_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    state BIGINT NOT NULL,
    cause BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (company_id, task_id, state, cause, lane)
) WITH (fillfactor = 50);
INSERT INTO run_counts (company_id, task_id, state, cause, lane, count)
SELECT company_id, task_id, state, coalesce(cause, 0), 0, count(*) FROM runs
 GROUP BY company_id, task_id, state, coalesce(cause, 0);

CREATE FUNCTION count_added_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_counts AS kept (company_id, task_id, state, cause, lane, count)
    SELECT company_id, task_id, state, coalesce(cause, 0),
           current_setting('runyard.lane')::bigint, count(*)
      FROM added
     GROUP BY company_id, task_id, state, coalesce(cause, 0)
    ON CONFLICT (company_id, task_id, state, cause, lane)
    DO UPDATE SET count = kept.count + excluded.count;
    RETURN NULL;
END $$;

CREATE FUNCTION count_removed_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_counts AS kept (company_id, task_id, state, cause, lane, count)
    SELECT company_id, task_id, state, coalesce(cause, 0),
           current_setting('runyard.lane')::bigint, - count(*)
      FROM removed
     GROUP BY company_id, task_id, state, coalesce(cause, 0)
    ON CONFLICT (company_id, task_id, state, cause, lane)
    DO UPDATE SET count = kept.count + excluded.count;
    RETURN NULL;
END $$;

CREATE FUNCTION count_moved_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_counts AS kept (company_id, task_id, state, cause, lane, count)
    SELECT company_id, task_id, state, cause, current_setting('runyard.lane')::bigint, sum(change)
      FROM (SELECT company_id, task_id, state, coalesce(cause, 0) AS cause, 1 AS change FROM added
             UNION ALL
            SELECT company_id, task_id, state, coalesce(cause, 0), -1 FROM removed) AS changes
     GROUP BY company_id, task_id, state, cause
    HAVING sum(change) <> 0
    ON CONFLICT (company_id, task_id, state, cause, lane)
    DO UPDATE SET count = kept.count + excluded.count;
    RETURN NULL;
END $$;

CREATE TRIGGER runs_added AFTER INSERT ON runs REFERENCING NEW TABLE AS added
   FOR EACH STATEMENT WHEN (current_setting('runyard.lane', true) <> '')
   EXECUTE FUNCTION count_added_runs();
CREATE TRIGGER runs_moved AFTER UPDATE ON runs
   REFERENCING OLD TABLE AS removed NEW TABLE AS added
   FOR EACH STATEMENT WHEN (current_setting('runyard.lane', true) <> '')
   EXECUTE FUNCTION count_moved_runs();
CREATE TRIGGER runs_removed AFTER DELETE ON runs REFERENCING OLD TABLE AS removed
   FOR EACH STATEMENT WHEN (current_setting('runyard.lane', true) <> '')
   EXECUTE FUNCTION count_removed_runs();

-- By cause too, like the other indexes of what has ended.
DROP INDEX runs_of_worker;
CREATE INDEX runs_of_worker ON runs (worker_id, cause, created_at, id, company_id)
    WHERE state >= 6;
