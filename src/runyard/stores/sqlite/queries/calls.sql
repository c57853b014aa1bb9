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

-- name: count_of_calls(branches, limit)$
-- How many, up to the limit.
SELECT count(*) FROM (:branches LIMIT :limit);

-- name: call_page_branch(index, condition, rest)
SELECT * FROM calls INDEXED BY :index WHERE :condition AND :rest;

-- name: call_count_branch(index, condition, rest)
SELECT 1 FROM calls INDEXED BY :index WHERE :condition AND :rest;

-- name: delete_call(run_id)!
DELETE FROM calls WHERE id = :run_id;
