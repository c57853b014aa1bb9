-- Runs: writes. `:sources` is a set of states as bits.

-- name: insert_run(run_id, public_id, company_id, task_id, version_id, gate_id, state, priority, rank, level, restarted_from, trigger, schedule_id, created_at, due_at, queued_at, started_by, put_off_until)!
INSERT INTO runs (id, public_id, company_id, task_id, version_id, gate_id, state, priority, rank,
                  level, restarted_from, trigger, schedule_id, created_at, due_at, queued_at,
                  started_by, put_off_until)
VALUES (:run_id, :public_id, :company_id, :task_id, :version_id, :gate_id, :state, :priority, :rank,
        :level, :restarted_from, :trigger, :schedule_id, :created_at, :due_at, :queued_at,
        :started_by, :put_off_until);

-- name: insert_input(run_id, value, digest)!
INSERT INTO run_inputs (run_id, value, digest) VALUES (:run_id, :value, :digest);

-- name: insert_change(run_id, at, state, note)!
INSERT INTO run_changes (run_id, at, state, note) VALUES (:run_id, :at, :state, :note);

-- name: begin_attempt(run_id, token, at)<!
UPDATE runs
   SET attempt = attempt + 1, begun_at = :at, started_at = coalesce(started_at, :at)
 WHERE id = :run_id AND state = 4 AND lease_token = :token AND begun_at IS NULL
RETURNING id;

-- name: keep_attempt(run_id, company_id, token, begun_at, finished_at, outcome, error)!
-- Before `requeue_run`, under the same guard: that one forgets when the attempt began.
INSERT INTO attempts (run_id, number, worker_id, lease_token, begun_at, finished_at, outcome, error)
SELECT id, attempt + (begun_at IS NULL), worker_id, lease_token, coalesce(begun_at, :begun_at),
       :finished_at, :outcome, :error
  FROM runs
 WHERE id = :run_id AND company_id = :company_id AND state = 4 AND lease_token = :token
   AND coalesce(begun_at, :begun_at) IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: requeue_run(run_id, company_id, token, state, begun_at, logged_errors, due_at, queued_at, rank)<!
-- The end of an attempt that another one follows.
UPDATE runs
   SET state = :state,
       attempt = attempt + (begun_at IS NULL AND :begun_at IS NOT NULL),
       started_at = coalesce(started_at, :begun_at),
       begun_at = NULL,
       session_id = NULL,
       logged_errors = logged_errors + :logged_errors,
       due_at = coalesce(:due_at, due_at),
       queued_at = coalesce(:queued_at, queued_at),
       rank = coalesce(:rank, rank)
 WHERE id = :run_id AND company_id = :company_id AND state = 4 AND lease_token = :token
RETURNING id;

-- name: finish_run(run_id, company_id, token, state, cause, outcome, finished_at, begun_at, logged_errors)<!
UPDATE runs
   SET state = :state,
       cause = :cause,
       outcome = :outcome,
       finished_at = :finished_at,
       attempt = attempt + (begun_at IS NULL AND :begun_at IS NOT NULL),
       started_at = coalesce(started_at, :begun_at),
       begun_at = coalesce(begun_at, :begun_at),
       session_id = NULL,
       logged_errors = logged_errors + :logged_errors
 WHERE id = :run_id AND company_id = :company_id AND state = 4 AND lease_token = :token
RETURNING id, task_id;

-- name: insert_output(run_id, value, digest, error)!
INSERT INTO run_outputs (run_id, value, digest, error) VALUES (:run_id, :value, :digest, :error)
ON CONFLICT DO NOTHING;

-- name: move_run(run_id, company_id, sources, token, is_unbegun, is_unbegun_attempt, state, at, cause, due_at, rank, put_off_until)<!
-- `:cause` is only bound for final states. A run that leaves `running` has no session any more, and
-- one that goes back to the queue has no attempt under way.
UPDATE runs
   SET state = :state,
       cause = :cause,
       finished_at = CASE WHEN :state >= 6 THEN :at ELSE finished_at END,
       due_at = coalesce(:due_at, due_at),
       rank = coalesce(:rank, rank),
       put_off_until = coalesce(:put_off_until, put_off_until),
       queued_at = CASE WHEN :state = 3 THEN coalesce(queued_at, :at) ELSE queued_at END,
       begun_at = CASE WHEN :state < 4 THEN NULL ELSE begun_at END,
       session_id = CASE WHEN :state = 4 THEN session_id ELSE NULL END
 WHERE id = :run_id AND company_id = :company_id
   AND (:sources >> state) & 1 = 1
   AND (:token IS NULL OR lease_token = :token)
   AND (:is_unbegun = 0 OR attempt = 0)
   AND (:is_unbegun_attempt = 0 OR begun_at IS NULL)
RETURNING *;

-- name: clean_gate(company_id, gate_id, at, limit)<!
-- Cancel runs of a gate that are queued, scheduled or preparing and have never begun. Each state has
-- an index of its own.
UPDATE runs
   SET state = 8, cause = 26, finished_at = :at
 WHERE id IN (SELECT id FROM runs WHERE gate_id = :gate_id AND state = 3 AND attempt = 0
               UNION ALL
              SELECT id FROM runs WHERE gate_id = :gate_id AND state = 2 AND attempt = 0
               UNION ALL
              SELECT id FROM runs
               WHERE company_id = :company_id AND gate_id = :gate_id AND attempt = 0
                 AND state = 1 AND state <> 3 AND state <> 4 AND state < 6
               LIMIT :limit)
   AND +company_id = :company_id
RETURNING id;

-- name: cancel_between_attempts(company_id, gate_id, at)<!
-- Begun runs of a gate that wait for another attempt.
UPDATE runs
   SET state = 8, cause = 26, finished_at = :at
 WHERE id IN (SELECT id FROM runs WHERE gate_id = :gate_id AND state = 3 AND attempt > 0 AND state >= 2 AND state <= 3
               UNION ALL
              SELECT id FROM runs WHERE gate_id = :gate_id AND state = 2 AND attempt > 0 AND state >= 2 AND state <= 3)
   AND +company_id = :company_id
RETURNING id;

-- name: cancel_queued(company_id, gate_id, at)<!
-- Queued runs of a gate that have never begun.
UPDATE runs
   SET state = 8, cause = 26, finished_at = :at
 WHERE id IN (SELECT id FROM runs WHERE gate_id = :gate_id AND state = 3 AND attempt = 0)
   AND +company_id = :company_id
RETURNING id;

-- name: stage_runs(now, limit)<!
UPDATE runs
   SET state = 3, queued_at = :now
 WHERE id IN (SELECT id FROM runs
               WHERE state = 2 AND due_at <= :now
               ORDER BY due_at, id
               LIMIT :limit)
RETURNING gate_id, company_id;

-- name: holds_lease(run_id, company_id, token)
SELECT id FROM runs
 WHERE id = :run_id AND company_id = :company_id AND state = 4 AND lease_token = :token;

-- name: keep_step(run_id, name, occurrence, value, digest, recorded_at)!
INSERT INTO steps (run_id, name, occurrence, value, digest, recorded_at)
VALUES (:run_id, :name, :occurrence, :value, :digest, :recorded_at)
ON CONFLICT DO NOTHING;

-- name: report_progress(run_id, token, done, total)!
UPDATE runs SET progress_done = :done, progress_total = :total
 WHERE id = :run_id AND state = 4 AND lease_token = :token;

-- name: delete_run(run_id, company_id, finished_before)<!
DELETE FROM runs
 WHERE id = :run_id AND company_id = :company_id AND state >= 6 AND finished_at < :finished_before
RETURNING id;

-- name: delete_input(run_id)!
DELETE FROM run_inputs WHERE run_id = :run_id;

-- name: delete_output(run_id)!
DELETE FROM run_outputs WHERE run_id = :run_id;

-- name: delete_attempts(run_id)!
DELETE FROM attempts WHERE run_id = :run_id;

-- name: delete_steps(run_id)!
DELETE FROM steps WHERE run_id = :run_id;

-- name: delete_changes(run_id)!
DELETE FROM run_changes WHERE run_id = :run_id;

-- name: delete_start_keys(run_id)!
DELETE FROM idempotency_keys WHERE first_run_id = :run_id;

-- name: delete_files_of_run(run_id)!
DELETE FROM files WHERE run_id = :run_id;
