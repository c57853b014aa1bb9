-- Runs: writes. `:sources` is a set of states as bits. Each parameter is an array, one element per
-- row; rows come ordered by run id, and are locked in that order. Where runs are found by id, `state +
-- 0` keeps the planner from going through a partial index of that state instead.

-- name: insert_run(run_id, public_id, company_id, task_id, version_id, gate_id, state, priority, rank, level, restarted_from, trigger, schedule_id, created_at, due_at, queued_at, started_by, put_off_until)!
INSERT INTO runs (id, public_id, company_id, task_id, version_id, gate_id, state, priority, rank,
                  level, restarted_from, trigger, schedule_id, created_at, due_at, queued_at,
                  started_by, put_off_until)
SELECT * FROM unnest(:run_id::bigint[], :public_id::bytea[], :company_id::bigint[],
                     :task_id::bigint[], :version_id::bigint[], :gate_id::bigint[],
                     :state::smallint[], :priority::smallint[], :rank::bigint[],
                     :level::integer[], :restarted_from::bigint[], :trigger::smallint[],
                     :schedule_id::bigint[], :created_at::bigint[], :due_at::bigint[],
                     :queued_at::bigint[], :started_by::bigint[], :put_off_until::bigint[]);

-- name: insert_input(run_id, value, digest)!
INSERT INTO run_inputs (run_id, value, digest)
SELECT * FROM unnest(:run_id::bigint[], :value::bytea[], :digest::text[]);

-- name: insert_change(run_id, at, state, note)!
INSERT INTO run_changes (run_id, at, state, note)
SELECT * FROM unnest(:run_id::bigint[], :at::bigint[], :state::smallint[], :note::text[]);

-- name: begin_attempt(run_id, token, at)<!
UPDATE runs
   SET attempt = attempt + 1, begun_at = given.at, started_at = coalesce(started_at, given.at)
  FROM unnest(:run_id::bigint[], :token::bigint[], :at::bigint[]) AS given (run_id, token, at)
 WHERE runs.id = given.run_id AND state + 0 = 4 AND lease_token = given.token AND begun_at IS NULL
RETURNING id;

-- name: keep_attempt(run_id, company_id, token, begun_at, finished_at, outcome, error)!
-- Before `requeue_run`, under the same guard: that one forgets when the attempt began. The rows are
-- locked here already, so that both see the same.
WITH ended AS MATERIALIZED (
    SELECT runs.id, attempt + (runs.begun_at IS NULL)::integer AS number, worker_id, lease_token,
           coalesce(runs.begun_at, given.begun_at) AS begun_at,
           given.finished_at, given.outcome, given.error
      FROM unnest(:run_id::bigint[], :company_id::bigint[], :token::bigint[], :begun_at::bigint[],
                  :finished_at::bigint[], :outcome::smallint[], :error::bytea[])
           AS given (run_id, company_id, token, begun_at, finished_at, outcome, error)
      JOIN runs ON runs.id = given.run_id
     WHERE runs.company_id = given.company_id AND state + 0 = 4 AND lease_token = given.token
       AND coalesce(runs.begun_at, given.begun_at) IS NOT NULL
       FOR NO KEY UPDATE OF runs
)
INSERT INTO attempts (run_id, number, worker_id, lease_token, begun_at, finished_at, outcome, error)
SELECT * FROM ended
ON CONFLICT DO NOTHING;

-- name: requeue_run(run_id, company_id, token, state, begun_at, logged_errors, due_at, queued_at, rank)<!
-- The end of an attempt that another one follows.
UPDATE runs
   SET state = given.state,
       attempt = attempt + (runs.begun_at IS NULL AND given.begun_at IS NOT NULL)::integer,
       started_at = coalesce(started_at, given.begun_at),
       begun_at = NULL,
       session_id = NULL,
       logged_errors = runs.logged_errors + given.logged_errors,
       due_at = coalesce(given.due_at, runs.due_at),
       queued_at = coalesce(given.queued_at, runs.queued_at),
       rank = coalesce(given.rank, runs.rank)
  FROM unnest(:run_id::bigint[], :company_id::bigint[], :token::bigint[], :state::smallint[],
              :begun_at::bigint[], :logged_errors::integer[], :due_at::bigint[],
              :queued_at::bigint[], :rank::bigint[])
       AS given (run_id, company_id, token, state, begun_at, logged_errors, due_at, queued_at, rank)
 WHERE runs.id = given.run_id AND runs.company_id = given.company_id AND runs.state + 0 = 4
   AND lease_token = given.token
RETURNING id;

-- name: finish_run(run_id, company_id, token, state, cause, outcome, finished_at, begun_at, logged_errors)<!
UPDATE runs
   SET state = given.state,
       cause = given.cause,
       outcome = given.outcome,
       finished_at = given.finished_at,
       attempt = attempt + (runs.begun_at IS NULL AND given.begun_at IS NOT NULL)::integer,
       started_at = coalesce(started_at, given.begun_at),
       begun_at = coalesce(runs.begun_at, given.begun_at),
       session_id = NULL,
       logged_errors = runs.logged_errors + given.logged_errors
  FROM unnest(:run_id::bigint[], :company_id::bigint[], :token::bigint[], :state::smallint[],
              :cause::smallint[], :outcome::smallint[], :finished_at::bigint[],
              :begun_at::bigint[], :logged_errors::integer[])
       AS given (run_id, company_id, token, state, cause, outcome, finished_at, begun_at,
                 logged_errors)
 WHERE runs.id = given.run_id AND runs.company_id = given.company_id AND runs.state + 0 = 4
   AND lease_token = given.token
RETURNING id;

-- name: insert_output(run_id, value, digest, error)!
INSERT INTO run_outputs (run_id, value, digest, error)
SELECT * FROM unnest(:run_id::bigint[], :value::bytea[], :digest::text[], :error::bytea[])
ON CONFLICT DO NOTHING;

-- name: move_run(run_id, company_id, sources, token, is_unbegun, is_unbegun_attempt, state, at, cause, due_at, rank, put_off_until)<!
-- `:cause` is only bound for final states. A run that leaves `running` has no session any more, and
-- one that goes back to the queue has no attempt under way.
UPDATE runs
   SET state = given.state,
       cause = given.cause,
       finished_at = CASE WHEN given.state >= 6 THEN given.at ELSE finished_at END,
       due_at = coalesce(given.due_at, runs.due_at),
       rank = coalesce(given.rank, runs.rank),
       put_off_until = coalesce(given.put_off_until, runs.put_off_until),
       queued_at = CASE WHEN given.state = 3 THEN coalesce(queued_at, given.at) ELSE queued_at END,
       begun_at = CASE WHEN given.state < 4 THEN NULL ELSE begun_at END,
       session_id = CASE WHEN given.state = 4 THEN session_id ELSE NULL END
  FROM unnest(:run_id::bigint[], :company_id::bigint[], :sources::bigint[], :token::bigint[],
              :is_unbegun::smallint[], :is_unbegun_attempt::smallint[], :state::smallint[],
              :at::bigint[], :cause::smallint[], :due_at::bigint[], :rank::bigint[],
              :put_off_until::bigint[])
       AS given (run_id, company_id, sources, token, is_unbegun, is_unbegun_attempt, state, at,
                 cause, due_at, rank, put_off_until)
 WHERE runs.id = given.run_id AND runs.company_id = given.company_id
   AND (given.sources >> runs.state::integer) & 1 = 1
   AND (given.token IS NULL OR lease_token = given.token)
   AND (given.is_unbegun = 0 OR attempt = 0)
   AND (given.is_unbegun_attempt = 0 OR begun_at IS NULL)
RETURNING runs.*;

-- name: clean_gate(company_id, gate_id, at, limit)<!
-- Cancel runs of a gate that are queued, scheduled or preparing and have never begun. Each state has
-- an index of its own. The rows are locked before they are changed: one that a claim is just taking
-- is waited for, and looked at again.
WITH candidates AS MATERIALIZED (
    SELECT id FROM runs WHERE gate_id = :gate_id AND state = 3 AND attempt = 0
     UNION ALL
    SELECT id FROM runs WHERE gate_id = :gate_id AND state = 2 AND attempt = 0
     UNION ALL
    SELECT id FROM runs
     WHERE company_id = :company_id AND gate_id = :gate_id AND attempt = 0
       AND state = 1 AND state <> 3 AND state <> 4 AND state < 6
     LIMIT :limit
), cleaned AS MATERIALIZED (
    SELECT runs.id
      FROM candidates
      JOIN runs ON runs.id = candidates.id
     WHERE runs.company_id = :company_id AND state + 0 IN (1, 2, 3) AND attempt = 0
     ORDER BY runs.id
       FOR UPDATE OF runs
)
UPDATE runs
   SET state = 8, cause = 26, finished_at = :at
  FROM cleaned
 WHERE runs.id = cleaned.id
RETURNING runs.id;

-- name: cancel_between_attempts(company_id, gate_id, at)<!
-- Begun runs of a gate that wait for another attempt.
WITH candidates AS MATERIALIZED (
    SELECT id FROM runs WHERE gate_id = :gate_id AND state = 3 AND attempt > 0 AND state >= 2 AND state <= 3
     UNION ALL
    SELECT id FROM runs WHERE gate_id = :gate_id AND state = 2 AND attempt > 0 AND state >= 2 AND state <= 3
), ended AS MATERIALIZED (
    SELECT runs.id
      FROM candidates
      JOIN runs ON runs.id = candidates.id
     WHERE runs.company_id = :company_id AND state + 0 IN (2, 3) AND attempt > 0
     ORDER BY runs.id
       FOR UPDATE OF runs
)
UPDATE runs
   SET state = 8, cause = 26, finished_at = :at
  FROM ended
 WHERE runs.id = ended.id
RETURNING runs.id;

-- name: cancel_queued(company_id, gate_id, at)<!
-- Queued runs of a gate that have never begun.
WITH candidates AS MATERIALIZED (
    SELECT id FROM runs WHERE gate_id = :gate_id AND state = 3 AND attempt = 0
), ended AS MATERIALIZED (
    SELECT runs.id
      FROM candidates
      JOIN runs ON runs.id = candidates.id
     WHERE runs.company_id = :company_id AND state + 0 = 3 AND attempt = 0
     ORDER BY runs.id
       FOR UPDATE OF runs
)
UPDATE runs
   SET state = 8, cause = 26, finished_at = :at
  FROM ended
 WHERE runs.id = ended.id
RETURNING runs.id;

-- name: stage_runs(now, limit)<!
-- What another server is just staging is left to it.
WITH due AS MATERIALIZED (
    SELECT id FROM runs
     WHERE state = 2 AND due_at <= :now
     ORDER BY due_at, id
     LIMIT :limit
       FOR UPDATE SKIP LOCKED
)
UPDATE runs
   SET state = 3, queued_at = :now
  FROM due
 WHERE runs.id = due.id
RETURNING gate_id, company_id;

-- name: holds_lease(run_id, company_id, token)
-- The row stays locked, so that what is written under the lease is written under it to the end.
SELECT runs.id
  FROM unnest(:run_id::bigint[], :company_id::bigint[], :token::bigint[])
       AS given (run_id, company_id, token)
  JOIN runs ON runs.id = given.run_id
 WHERE runs.company_id = given.company_id AND state + 0 = 4 AND lease_token = given.token
   FOR NO KEY UPDATE OF runs;

-- name: keep_step(run_id, name, occurrence, value, digest, recorded_at)!
INSERT INTO steps (run_id, name, occurrence, value, digest, recorded_at)
SELECT * FROM unnest(:run_id::bigint[], :name::text[], :occurrence::bigint[], :value::bytea[],
                     :digest::text[], :recorded_at::bigint[])
ON CONFLICT DO NOTHING;

-- name: report_progress(run_id, token, done, total)!
UPDATE runs SET progress_done = given.done, progress_total = given.total
  FROM unnest(:run_id::bigint[], :token::bigint[], :done::double precision[],
              :total::double precision[]) AS given (run_id, token, done, total)
 WHERE runs.id = given.run_id AND state + 0 = 4 AND lease_token = given.token;

-- name: delete_run(run_id, company_id, finished_before)<!
DELETE FROM runs
 USING unnest(:run_id::bigint[], :company_id::bigint[], :finished_before::bigint[])
       AS given (run_id, company_id, finished_before)
 WHERE runs.id = given.run_id AND runs.company_id = given.company_id AND state >= 6
   AND finished_at < given.finished_before
RETURNING id;

-- name: delete_input(run_id)!
DELETE FROM run_inputs WHERE run_id = ANY (:run_id::bigint[]);

-- name: delete_output(run_id)!
DELETE FROM run_outputs WHERE run_id = ANY (:run_id::bigint[]);

-- name: delete_attempts(run_id)!
DELETE FROM attempts WHERE run_id = ANY (:run_id::bigint[]);

-- name: delete_steps(run_id)!
DELETE FROM steps WHERE run_id = ANY (:run_id::bigint[]);

-- name: delete_changes(run_id)!
DELETE FROM run_changes WHERE run_id = ANY (:run_id::bigint[]);

-- name: delete_start_keys(run_id)!
DELETE FROM idempotency_keys WHERE first_run_id = ANY (:run_id::bigint[]);

-- name: delete_files_of_run(run_id)!
DELETE FROM files WHERE run_id = ANY (:run_id::bigint[]);
