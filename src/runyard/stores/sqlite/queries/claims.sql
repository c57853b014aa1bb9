-- What a claim is made of. The order between gates and the counting stand in the strategy module.

-- name: open_gate(company_id, gate_id)^
-- Its limit and offset, if its runs may start at all.
SELECT run_limit, priority_offset FROM gates
 WHERE id = :gate_id AND company_id = :company_id AND runnable = 1 AND company_runnable = 1;

-- name: count_running(gate_id)$
SELECT count(*) FROM runs WHERE gate_id = :gate_id AND state = 4;

-- name: queue_heads(gate_id, after_rank, after_id, limit)
-- The first runs in a gate's queue beyond a place, with what their worker needs.
SELECT runs.rank, runs.id, runs.public_id, runs.task_id, runs.version_id, runs.attempt,
       run_inputs.value, run_inputs.digest
  FROM runs
  LEFT JOIN run_inputs ON run_inputs.run_id = runs.id
 WHERE runs.gate_id = :gate_id AND runs.state = 3
   AND (runs.rank, runs.id) > (:after_rank, :after_id)
 ORDER BY runs.rank, runs.id
 LIMIT :limit;

-- name: take_run(run_id, token, session_id, worker_id)!
UPDATE runs
   SET state = 4, lease_token = :token, session_id = :session_id, worker_id = :worker_id,
       begun_at = NULL
 WHERE id = :run_id;

-- name: claimed_runs(session_id, first_token, end_token)
-- What a claim whose answer got lost has taken.
SELECT runs.id, runs.public_id, runs.company_id, runs.task_id, runs.version_id, runs.gate_id,
       runs.lease_token, runs.attempt, runs.rank, run_inputs.value, run_inputs.digest
  FROM runs
  LEFT JOIN run_inputs ON run_inputs.run_id = runs.id
 WHERE runs.session_id = :session_id AND runs.state = 4
   AND runs.lease_token >= :first_token AND runs.lease_token < :end_token
 ORDER BY runs.lease_token;
