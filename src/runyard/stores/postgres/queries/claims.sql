-- What a claim is made of: first the gates are locked, then a second statement, which sees all that
-- was committed before the lock was had, counts and takes.

-- name: lock_gates(gate_ids)
-- All that the claims of a group name, in one order. Closed ones too: one that opens between the two
-- statements would otherwise be taken from without its lock.
SELECT id FROM gates WHERE id = ANY (:gate_ids::bigint[]) ORDER BY id FOR NO KEY UPDATE;

-- name: take_runs(shares, company_ids, counts, gate_ids, first_token, session_id, worker_id)
-- One row of the arrays is one gate of one share. From each gate no more heads are looked at than
-- its limit and the share leave room for; of all heads of a share the first ones are taken. A run
-- that somebody is just moving is left alone, so that a claim waits for no run.
WITH wanted AS (
    SELECT *
      FROM unnest(:shares::bigint[], :company_ids::bigint[], :counts::bigint[], :gate_ids::bigint[])
           AS wanted (share, company_id, count, gate_id)
), room AS (
    SELECT wanted.share, wanted.count, gates.id AS gate_id, gates.priority_offset,
           least(wanted.count,
                 gates.run_limit - CASE WHEN gates.run_limit IS NOT NULL THEN
                     (SELECT count(*) FROM runs
                       WHERE runs.gate_id = gates.id AND state = 4)
                 END) AS places
      FROM wanted
      JOIN gates ON gates.id = wanted.gate_id AND gates.company_id = wanted.company_id
     WHERE gates.runnable = 1 AND gates.company_runnable = 1
), heads AS (
    SELECT room.share, room.count, head.id, head.rank + room.priority_offset AS place
      FROM room
     CROSS JOIN LATERAL (SELECT id, rank FROM runs
                          WHERE runs.gate_id = room.gate_id AND state = 3
                          ORDER BY rank, id
                          LIMIT greatest(room.places, 0)) AS head
), chosen AS (
    SELECT share, place, id
      FROM (SELECT share, place, id, count,
                   row_number() OVER (PARTITION BY share ORDER BY place, id) AS number
              FROM heads) AS numbered
     WHERE number <= count
), taken AS MATERIALIZED (
    SELECT chosen.share, chosen.place, runs.id
      FROM chosen
      JOIN runs ON runs.id = chosen.id
     WHERE runs.state + 0 = 3
       FOR UPDATE OF runs SKIP LOCKED
), numbered AS (
    SELECT id, row_number() OVER (ORDER BY share, place, id) AS number FROM taken
)
UPDATE runs
   SET state = 4, lease_token = :first_token::bigint + numbered.number - 1,
       session_id = :session_id, worker_id = :worker_id, begun_at = NULL
  FROM numbered
  LEFT JOIN run_inputs ON run_inputs.run_id = numbered.id
 WHERE runs.id = numbered.id
RETURNING runs.id, public_id, company_id, task_id, version_id, gate_id, lease_token, attempt, rank,
          run_inputs.value, run_inputs.digest;
