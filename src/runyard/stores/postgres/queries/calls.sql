-- Allocations and the records of calls.

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

-- name: delete_allocation(company_id, task_id)<!
DELETE FROM allocations WHERE company_id = :company_id AND task_id = :task_id RETURNING id;

-- name: find_allocation(company_id, task_id)^
SELECT * FROM allocations WHERE company_id = :company_id AND task_id = :task_id;

-- name: list_allocations(company_id)
SELECT * FROM allocations WHERE company_id = :company_id ORDER BY created_at, id;

-- name: all_allocations()
SELECT * FROM allocations ORDER BY created_at, id;

-- name: place_allocation(allocation_id, session_id, server, now)<!
-- Guard: the session that it is kept with is over, or there is none.
UPDATE allocations SET session_id = :session_id, server = :server
 WHERE id = :allocation_id
   AND NOT EXISTS (SELECT 1 FROM sessions
                    WHERE sessions.id = allocations.session_id AND sessions.closed_at IS NULL
                      AND sessions.lease_expires_at > :now
                      AND sessions.id <> :session_id)
RETURNING id;

-- name: displace_allocation(allocation_id, session_id)<!
UPDATE allocations SET session_id = NULL, server = NULL
 WHERE id = :allocation_id AND session_id = :session_id
RETURNING id;

-- name: placed_allocations(now)
SELECT allocations.id, allocations.session_id, allocations.server
  FROM allocations JOIN sessions ON sessions.id = allocations.session_id
 WHERE sessions.closed_at IS NULL AND sessions.lease_expires_at > :now
 ORDER BY allocations.id;

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

-- name: find_call(company_id, run_id)^
SELECT * FROM calls WHERE id = :run_id AND company_id = :company_id;

-- name: find_call_by_public_id(company_id, public_id, earliest, latest)^
SELECT * FROM calls
 WHERE company_id = :company_id AND created_at BETWEEN :earliest AND :latest
   AND public_id = :public_id;

-- name: page_of_calls(branches, order, limit)
SELECT * FROM (:branches) AS found
 ORDER BY :order DESC, id DESC
 LIMIT :limit;

-- name: count_of_calls(branches, limit)$
-- How many, up to the limit.
SELECT count(*) FROM (:branches LIMIT :limit) AS found;

-- name: call_page_branch(choices, condition, rest, order, limit)
-- One range of an index for each choice, or one alone. Planned once, however many there are.
(SELECT found.*
   FROM unnest(:choices::smallint[]) AS choice
  CROSS JOIN LATERAL (SELECT * FROM calls
                       WHERE :condition AND :rest
                       ORDER BY :order DESC, id DESC
                       LIMIT :limit) AS found);

-- name: call_count_branch(choices, condition, rest)
(SELECT 1 FROM unnest(:choices::smallint[]) AS choice JOIN calls ON :condition AND :rest);

-- name: old_calls(company_id, task_id, created_before, limit)
SELECT id FROM calls
 WHERE company_id = :company_id AND created_at < :created_before AND task_id = :task_id
 ORDER BY created_at, id
 LIMIT :limit;

-- name: delete_call(run_id)!
DELETE FROM calls WHERE id = ANY (:run_id::bigint[]);
