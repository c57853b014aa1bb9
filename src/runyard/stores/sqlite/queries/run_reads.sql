-- Runs: reads. Rows of runs come with all columns, in the order of the table.
--
-- Without statistics SQLite would rather walk through a company's whole history than look up some
-- ids, or through the table rather than sort a few rows. `+company_id` keeps it from the first,
-- INDEXED BY from the second; a test reads the plans.

-- name: find_runs(company_id, run_ids)
SELECT * FROM runs
 WHERE id IN (SELECT value FROM json_each(:run_ids)) AND +company_id = :company_id
 ORDER BY id;

-- name: run_values(company_id, run_ids)
SELECT runs.id, run_inputs.value, run_inputs.digest,
       run_outputs.value, run_outputs.digest, run_outputs.error
  FROM runs
  LEFT JOIN run_inputs ON run_inputs.run_id = runs.id
  LEFT JOIN run_outputs ON run_outputs.run_id = runs.id
 WHERE runs.id IN (SELECT value FROM json_each(:run_ids)) AND +runs.company_id = :company_id
 ORDER BY runs.id;

-- name: steps_of_runs(run_ids)
SELECT run_id, name, occurrence, value, digest FROM steps
 WHERE run_id IN (SELECT value FROM json_each(:run_ids))
 ORDER BY run_id, recorded_at, name, occurrence;

-- name: leased_by_sessions(session_ids, limit)
SELECT id, company_id, task_id, version_id, gate_id, session_id, lease_token, attempt, begun_at,
       priority, rank
  FROM runs INDEXED BY runs_running
 WHERE session_id IN (SELECT value FROM json_each(:session_ids)) AND state = 4
 ORDER BY id
 LIMIT :limit;

-- name: abandoned_runs(now, limit)
-- Running under a session that is closed, has lapsed, or that nobody knows.
SELECT runs.id, runs.company_id, runs.task_id, runs.version_id, runs.gate_id, runs.session_id,
       runs.lease_token, runs.attempt, runs.begun_at, runs.priority, runs.rank
  FROM runs INDEXED BY runs_running
  LEFT JOIN sessions ON sessions.id = runs.session_id
 WHERE runs.state = 4
   AND (sessions.id IS NULL OR sessions.closed_at IS NOT NULL OR sessions.lease_expires_at < :now)
 ORDER BY runs.id
 LIMIT :limit;

-- name: page_of_runs(branches, order, limit)
-- What the branches of a list give, merged; each is read in this order, and only as far as needed.
SELECT * FROM (:branches)
 ORDER BY :order DESC, id DESC
 LIMIT :limit;

-- name: count_of_runs(branches, limit)^
-- How many were looked at, up to the limit, and how many of them fit.
SELECT count(*), coalesce(sum(fits), 0) FROM (:branches LIMIT :limit);

-- name: page_branch(index, condition, rest)
SELECT * FROM runs INDEXED BY :index WHERE :condition AND :rest;

-- name: sifted_runs(branches, places, order, limit, most)
-- Of the newest runs along an index, as many as `most`, those that fit; and, where these do not fill
-- the page but there are more runs, the last that was looked at. Its place is found along the indexes
-- alone (`:places` are the branches without what has to be looked at row by row).
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
SELECT runs.*, 1, shown.is_last FROM shown CROSS JOIN runs ON runs.id = shown.id
 ORDER BY shown.is_last, :order DESC, runs.id DESC;

-- name: sifted_branch(index, order, condition, rest)
SELECT id, :order AS at, (:rest) AS fits FROM runs INDEXED BY :index WHERE :condition;

-- name: few_runs(branches, order, limit, most)
-- Of all runs along an index those that fit; and one more row if there are as many as `most`: then
-- these are not all.
WITH looked_at (id, at, fits) AS MATERIALIZED (SELECT * FROM (:branches) LIMIT :most),
     shown (id, is_last) AS MATERIALIZED (
        SELECT * FROM (SELECT id, 0 FROM looked_at WHERE fits ORDER BY at DESC, id DESC LIMIT :limit)
         UNION ALL
        SELECT * FROM (SELECT id, 1 FROM looked_at LIMIT 1 OFFSET :most - 1)
     )
SELECT runs.*, 1, shown.is_last FROM shown CROSS JOIN runs ON runs.id = shown.id
 ORDER BY shown.is_last, :order DESC, runs.id DESC;

-- name: few_branch(index, order, condition, rest)
SELECT id, :order AS at, (:rest) AS fits FROM runs INDEXED BY :index WHERE :condition;

-- name: count_branch(index, condition, rest)
SELECT (:rest) AS fits FROM runs INDEXED BY :index WHERE :condition;

-- name: count_outside(branches, company_id, first_task, last_task, limit)
-- Of the tasks between these two how many runs are in each state and with which cause, and how many are
-- outside of what is asked for, up to the limit: in one look, so that one can be taken from the other.
SELECT state, cause, sum(count), (SELECT count(*) FROM (:branches LIMIT :limit))
  FROM run_counts
 WHERE company_id = :company_id AND task_id >= :first_task AND task_id <= :last_task
 GROUP BY state, cause;

-- name: queued_before(company_id, gate_id, rank, run_id, limit)$
SELECT count(*)
  FROM (SELECT 1 FROM runs
         WHERE state = 3 AND gate_id = :gate_id AND (rank, id) < (:rank, :run_id)
           AND EXISTS (SELECT 1 FROM gates WHERE id = :gate_id AND company_id = :company_id)
         LIMIT :limit);

-- name: queued_totals()
SELECT company_id, sum(count) FROM run_counts WHERE state = 3 GROUP BY company_id;

-- name: kept_counts(company_id)
-- How many runs are in each state, and with which cause.
SELECT state, cause, sum(count) FROM run_counts
 WHERE company_id = :company_id
 GROUP BY state, cause;

-- name: kept_counts_of_task(company_id, task_id)
SELECT state, cause, sum(count) FROM run_counts
 WHERE company_id = :company_id AND task_id = :task_id
 GROUP BY state, cause;

-- name: gate_loads(company_id)
-- For each gate: never begun and waiting (scheduled, queued, on its way to a worker), begun and not
-- ended, and parked or preparing.
-- What is between attempts is few, and has an index of its own.
SELECT gates.id,
       (SELECT coalesce(sum(count), 0) FROM run_counts
         WHERE company_id = gates.company_id AND task_id = gates.task_id AND state = 2)
       - (SELECT count(*) FROM runs
           WHERE gate_id = gates.id AND state = 2 AND attempt > 0 AND state >= 2 AND state <= 3),
       (SELECT coalesce(sum(count), 0) FROM run_counts
         WHERE company_id = gates.company_id AND task_id = gates.task_id AND state = 3)
       - (SELECT count(*) FROM runs
           WHERE gate_id = gates.id AND state = 3 AND attempt > 0 AND state >= 2 AND state <= 3),
       (SELECT count(*) FROM runs
         WHERE gate_id = gates.id AND state = 4 AND attempt = 0 AND begun_at IS NULL),
       (SELECT count(*) FROM runs
         WHERE gate_id = gates.id AND attempt > 0 AND state >= 2 AND state <= 3)
       + (SELECT count(*) FROM runs WHERE gate_id = gates.id AND state = 4 AND attempt > 0)
       + (SELECT count(*) FROM runs
           WHERE task_id = gates.task_id AND gate_id = gates.id
             AND state = 5 AND state <> 3 AND state <> 4 AND state < 6)
  FROM gates
 WHERE gates.company_id = :company_id
 ORDER BY gates.id;

-- name: prunable_runs_of_company(company_id, finished_before, limit)
-- Of all its tasks, the first that ended first: neighbours in time are neighbours on disk.
SELECT id FROM runs INDEXED BY runs_by_end
 WHERE company_id = :company_id AND finished_at < :finished_before AND state - 0 >= 6
 ORDER BY finished_at, id
 LIMIT :limit;
