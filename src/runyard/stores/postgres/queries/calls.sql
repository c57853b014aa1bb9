-- Allocations and the records of calls.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: put_allocation(allocation_id, company_id, task_id, call_limit, overflow, wait_duration, deadline_duration, recording, retention_duration, run_as_user_id, created_at)<!
INSERT INTO allocations (id, company_id, task_id, call_limit, overflow, wait_duration,
                         deadline_duration, recording, retention_duration, run_as_user_id,
                         created_at)
VALUES (:allocation_id, :company_id, :task_id, :call_limit, :overflow, :wait_duration,
        :deadline_duration, :recording, :retention_duration, :run_as_user_id, :created_at)
ON CONFLICT (company_id, task_id) DO UPDATE
   SET call_limit = EXCLUDED.call_limit, overflow = EXCLUDED.overflow,
       wait_duration = EXCLUDED.wait_duration, deadline_duration = EXCLUDED.deadline_duration,
       recording = EXCLUDED.recording, retention_duration = EXCLUDED.retention_duration,
       run_as_user_id = EXCLUDED.run_as_user_id
RETURNING id;

-- name: insert_call(run_id, public_id, company_id, task_id, version_id, allocation_id, state, cause, created_at, started_at, finished_at, worker_id, logged_errors, input, input_digest, output, output_digest, error)!
INSERT INTO calls (id, public_id, company_id, task_id, version_id, allocation_id, state, cause,
                   created_at, started_at, finished_at, worker_id, logged_errors, input,
                   input_digest, output, output_digest, error)
SELECT * FROM unnest(:run_id::bigint[], :public_id::bytea[], :company_id::bigint[],
                     :task_id::bigint[], :version_id::bigint[], :allocation_id::bigint[],
                     :state::smallint[], :cause::smallint[], :created_at::bigint[],
                     :started_at::bigint[], :finished_at::bigint[], :worker_id::bigint[],
                     :logged_errors::integer[], :input::bytea[], :input_digest::text[],
                     :output::bytea[], :output_digest::text[], :error::bytea[])
ON CONFLICT (id) DO NOTHING;

-- name: page_of_calls(branches, order, limit)
SELECT * FROM (:branches) AS found
 ORDER BY :order DESC, id DESC
 LIMIT :limit;

-- name: count_of_calls(branches, limit)^
-- How many were looked at, up to the limit, and how many of them fit.
SELECT count(*), coalesce(sum(fits), 0)::bigint FROM (:branches LIMIT :limit) AS found;

-- name: sifted_calls(branches, order, limit, most)
-- As `sifted_runs`; the rows themselves, with their values, are read last.
WITH looked_at AS MATERIALIZED (SELECT * FROM (:branches) AS found
                                 ORDER BY at DESC, id DESC
                                 LIMIT :most),
     hits AS MATERIALIZED (SELECT id FROM looked_at WHERE fits LIMIT :limit),
     shown (id, is_last) AS MATERIALIZED (
        SELECT id, false FROM hits
         UNION ALL
        (SELECT id, true FROM looked_at
          WHERE (SELECT count(*) FROM hits) < :limit
         OFFSET :most - 1 LIMIT 1)
     )
SELECT calls.*, shown.is_last
  FROM shown CROSS JOIN LATERAL (SELECT * FROM calls WHERE id = shown.id LIMIT 1) AS calls
 ORDER BY shown.is_last, :order DESC, calls.id DESC;

-- name: sifted_call_branch(condition, rest, order, most)
(SELECT id, :order AS at, (:rest) AS fits FROM calls
  WHERE :condition
  ORDER BY :order DESC, id DESC
  LIMIT :most);

-- name: call_page_branch(choices, condition, rest, order, limit)
-- One range of an index for each choice, or one alone. Planned once, however many there are.
(SELECT found.*
   FROM unnest(:choices::smallint[]) AS choice
  CROSS JOIN LATERAL (SELECT * FROM calls
                       WHERE :condition AND :rest
                       ORDER BY :order DESC, id DESC
                       LIMIT :limit) AS found);

-- name: call_count_branch(condition, rest)
SELECT (:rest)::integer AS fits FROM calls WHERE :condition;

-- name: delete_call(run_id)!
DELETE FROM calls WHERE id = ANY (:run_id::bigint[]);
