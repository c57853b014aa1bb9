-- Allocations and the records of calls.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: put_allocation(allocation_id, company_id, task_id, call_limit, overflow, wait_duration, deadline_duration, recording, retention_duration, run_as_user_id, created_at)<!
INSERT INTO allocations (id, company_id, task_id, call_limit, overflow, wait_duration,
                         deadline_duration, recording, retention_duration, run_as_user_id,
                         created_at)
VALUES (:allocation_id, :company_id, :task_id, :call_limit, :overflow, :wait_duration,
        :deadline_duration, :recording, :retention_duration, :run_as_user_id, :created_at)
ON CONFLICT (company_id, task_id) DO UPDATE
   SET call_limit = excluded.call_limit, overflow = excluded.overflow,
       wait_duration = excluded.wait_duration, deadline_duration = excluded.deadline_duration,
       recording = excluded.recording, retention_duration = excluded.retention_duration,
       run_as_user_id = excluded.run_as_user_id
RETURNING id;

-- name: insert_call(run_id, public_id, company_id, task_id, version_id, allocation_id, state, cause, created_at, started_at, finished_at, worker_id, logged_errors, input, input_digest, output, output_digest, error)!
INSERT INTO calls (id, public_id, company_id, task_id, version_id, allocation_id, state, cause,
                   created_at, started_at, finished_at, worker_id, logged_errors, input,
                   input_digest, output, output_digest, error)
VALUES (:run_id, :public_id, :company_id, :task_id, :version_id, :allocation_id, :state, :cause,
        :created_at, :started_at, :finished_at, :worker_id, :logged_errors, :input, :input_digest,
        :output, :output_digest, :error)
ON CONFLICT (id) DO NOTHING;

-- name: page_of_calls(branches, order, limit)
SELECT * FROM (:branches)
 ORDER BY :order DESC, id DESC
 LIMIT :limit;

-- name: count_of_calls(branches, limit)^
-- How many were looked at, up to the limit, and how many of them fit.
SELECT count(*), coalesce(sum(fits), 0) FROM (:branches LIMIT :limit);

-- name: sifted_calls(branches, places, order, limit, most)
-- As `sifted_runs`.
WITH hits (id) AS MATERIALIZED (
        SELECT id FROM (SELECT * FROM (:branches) ORDER BY at DESC, id DESC LIMIT :most)
         WHERE fits LIMIT :limit
     ),
     shown (id, is_last) AS MATERIALIZED (
        SELECT id, 0 FROM hits
         UNION ALL
        SELECT * FROM (SELECT id, 1
                         FROM (SELECT * FROM (:places) ORDER BY at DESC, id DESC LIMIT :most)
                        LIMIT (SELECT count(*) < :limit FROM hits) OFFSET :most - 1)
     )
SELECT calls.*, shown.is_last FROM shown CROSS JOIN calls ON calls.id = shown.id
 ORDER BY shown.is_last, :order DESC, calls.id DESC;

-- name: sifted_call_branch(index, order, condition, rest)
SELECT id, :order AS at, (:rest) AS fits FROM calls INDEXED BY :index WHERE :condition;

-- name: call_page_branch(index, condition, rest)
SELECT * FROM calls INDEXED BY :index WHERE :condition AND :rest;

-- name: call_count_branch(index, condition, rest)
SELECT (:rest) AS fits FROM calls INDEXED BY :index WHERE :condition;

-- name: delete_call(run_id)!
DELETE FROM calls WHERE id = :run_id;
