-- Runs: reads. Rows of runs come with all columns, in the order of the table.

-- name: find_run(company_id, run_id)^
SELECT * FROM runs WHERE id = :run_id AND company_id = :company_id;

-- name: find_run_by_public_id(company_id, public_id)^
SELECT * FROM runs WHERE public_id = :public_id AND company_id = :company_id;

-- name: find_start_key(company_id, key)^
SELECT first_run_id, run_count, request_digest FROM idempotency_keys
 WHERE company_id = :company_id AND key = :key;

-- name: attempts_of_run(company_id, run_id)
-- The earlier attempts and, from the run's own row, the last one.
SELECT attempts.number, attempts.worker_id, attempts.lease_token, attempts.begun_at,
       attempts.finished_at, attempts.outcome, attempts.error
  FROM attempts
  JOIN runs ON runs.id = attempts.run_id
 WHERE attempts.run_id = :run_id AND runs.company_id = :company_id
UNION ALL
SELECT runs.attempt, runs.worker_id, runs.lease_token, runs.begun_at,
       runs.finished_at, runs.outcome, run_outputs.error
  FROM runs
  LEFT JOIN run_outputs ON run_outputs.run_id = runs.id
 WHERE runs.id = :run_id AND runs.company_id = :company_id
   AND runs.outcome IS NOT NULL AND runs.begun_at IS NOT NULL AND runs.state >= 6
 ORDER BY 1;

-- name: next_due_at()$
SELECT min(due_at) FROM runs WHERE state = 2;

-- name: leased_of_gate(company_id, gate_id)
SELECT id, company_id, task_id, version_id, gate_id, session_id, lease_token, attempt, begun_at,
       priority, rank
  FROM runs
 WHERE gate_id = :gate_id AND state = 4 AND company_id = :company_id
 UNION ALL
SELECT id, company_id, task_id, version_id, gate_id, session_id, lease_token, attempt, begun_at,
       priority, rank
  FROM runs
 WHERE company_id = :company_id
   AND task_id = (SELECT task_id FROM gates WHERE id = :gate_id)
   AND state = 5 AND state <> 3 AND state <> 4 AND state < 6 AND gate_id = :gate_id
 ORDER BY id;

-- name: occupied_gates()
-- From gate to gate along the queue's index: as many steps as gates, however many runs wait.
WITH RECURSIVE gate (id) AS (
    SELECT min(gate_id) FROM runs WHERE state = 3
    UNION ALL
    SELECT (SELECT min(gate_id) FROM runs WHERE state = 3 AND gate_id > gate.id)
      FROM gate WHERE gate.id IS NOT NULL
)
SELECT id FROM gate WHERE id IS NOT NULL;

-- name: aside_counts(company_id)
-- Parked and preparing runs of each gate that has any.
SELECT gate_id, state, count(*) FROM runs
 WHERE company_id = :company_id AND state IN (0, 1)
   AND state <> 3 AND state <> 4 AND state < 6
 GROUP BY gate_id, state;

-- name: earliest_put_off(company_id, at)$
-- When the first was made of the runs that were put off until then or later.
SELECT min(created_at) FROM runs
 WHERE company_id = :company_id AND put_off_until >= :at AND put_off_until IS NOT NULL;

-- name: run_changes(company_id, run_id)
SELECT run_changes.at, run_changes.state, run_changes.note
  FROM run_changes
  JOIN runs ON runs.id = run_changes.run_id
 WHERE run_changes.run_id = :run_id AND runs.company_id = :company_id
 ORDER BY run_changes.at, run_changes.state;

-- name: count_restarts(company_id, run_id)$
SELECT count(*) FROM runs WHERE company_id = :company_id AND restarted_from = :run_id;

-- name: ancestors_of(company_id, run_id)
-- Runs that this one was restarted from, the nearest first; pruned ones end the chain.
WITH RECURSIVE chain (id, restarted_from, level) AS (
    SELECT id, restarted_from, level FROM runs WHERE id = :run_id AND company_id = :company_id
    UNION ALL
    SELECT runs.id, runs.restarted_from, runs.level
      FROM chain JOIN runs ON runs.id = chain.restarted_from
     WHERE runs.company_id = :company_id
)
SELECT restarted_from FROM chain WHERE restarted_from IS NOT NULL ORDER BY level DESC;

-- name: recorded_steps(company_id, run_id)
SELECT steps.name, steps.occurrence, steps.recorded_at
  FROM steps
  JOIN runs ON runs.id = steps.run_id
 WHERE steps.run_id = :run_id AND runs.company_id = :company_id
 ORDER BY steps.recorded_at, steps.name, steps.occurrence;

-- name: prunable_runs(company_id, task_id, finished_before, limit)
-- Whatever ended before was created before: of each cause the oldest are looked at first.
SELECT id FROM runs
 WHERE task_id = :task_id AND company_id = :company_id
   AND cause IN (20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31)
   AND created_at < :finished_before AND state >= 6 AND finished_at < :finished_before
 LIMIT :limit;

-- name: broken_runs(now, limit)
-- Runs that nothing holds, or that are in two states at once: the promise, the run and what is odd.
SELECT 'R2', id, 'scheduled without a due instant'
  FROM runs WHERE state = 2 AND due_at IS NULL
UNION ALL
SELECT 'R2', runs.id, 'queued at a gate that does not exist'
  FROM runs LEFT JOIN gates ON gates.id = runs.gate_id
 WHERE runs.state = 3 AND gates.id IS NULL
UNION ALL
SELECT 'R2', id, 'queued without the instant it was queued at'
  FROM runs WHERE state = 3 AND queued_at IS NULL
UNION ALL
SELECT 'R2', runs.id, 'preparing, but nobody prepares it'
  FROM runs LEFT JOIN preparations ON preparations.run_id = runs.id
 WHERE runs.state = 1 AND preparations.run_id IS NULL
UNION ALL
SELECT 'R2', runs.id, 'running without a live session'
  FROM runs LEFT JOIN sessions ON sessions.id = runs.session_id
 WHERE runs.state = 4
   AND (sessions.id IS NULL OR sessions.closed_at IS NOT NULL OR sessions.lease_expires_at < :now)
UNION ALL
SELECT 'R2', id, 'not running, but held by a session'
  FROM runs WHERE state < 6 AND state <> 4 AND session_id IS NOT NULL
UNION ALL
SELECT 'R3', id, 'not ended, but with a cause or an end'
  FROM runs WHERE state < 6 AND (cause IS NOT NULL OR finished_at IS NOT NULL)
UNION ALL
SELECT 'R3', id, 'ended without a cause or an end'
  FROM runs WHERE state >= 6 AND (cause IS NULL OR finished_at IS NULL)
UNION ALL
SELECT 'R1', runs.id, 'without its input'
  FROM runs LEFT JOIN run_inputs ON run_inputs.run_id = runs.id
 WHERE runs.state < 6 AND run_inputs.run_id IS NULL
 LIMIT :limit;

-- name: gates_over_limit(limit)
SELECT gates.id, gates.run_limit, count(*)
  FROM gates
  JOIN runs ON runs.gate_id = gates.id AND runs.state = 4
 WHERE gates.run_limit IS NOT NULL
 GROUP BY gates.id, gates.run_limit
HAVING count(*) > gates.run_limit
 LIMIT :limit;
