-- What only this database has: the book of the writing connections (which group of each was committed
-- last), and questions about the server.

-- name: mark_group(lane_id, group_number)!
INSERT INTO lanes (id, group_number) VALUES (:lane_id, :group_number)
ON CONFLICT (id) DO UPDATE SET group_number = excluded.group_number;

-- name: mark_relaxed_group(lane_id, group_number)<!
-- For a group that need not be on disk before it is answered.
INSERT INTO lanes (id, group_number) VALUES (:lane_id, :group_number)
ON CONFLICT (id) DO UPDATE SET group_number = excluded.group_number
RETURNING set_config('synchronous_commit', 'off', true);

-- name: marked_group(lane_id)^
-- Waits for a transaction of the lane that has not ended yet.
SELECT group_number FROM lanes WHERE id = :lane_id FOR UPDATE;

-- name: fold_counts()!
-- What lanes have counted that are no more: into the rows that belong to no lane.
WITH gone AS (
    DELETE FROM run_counts
     WHERE lane > 0 AND NOT EXISTS (SELECT 1 FROM lanes WHERE id = run_counts.lane)
    RETURNING company_id, task_id, state, cause, count
)
INSERT INTO run_counts AS kept (company_id, task_id, state, cause, lane, count)
SELECT company_id, task_id, state, cause, 0, sum(count) FROM gone
 GROUP BY company_id, task_id, state, cause
 ORDER BY company_id, task_id, state, cause
ON CONFLICT (company_id, task_id, state, cause, lane)
DO UPDATE SET count = kept.count + excluded.count;

-- name: database_now()$
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- name: database_size()$
SELECT pg_database_size(current_database());
