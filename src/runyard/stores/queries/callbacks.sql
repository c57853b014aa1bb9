-- The outbox of callbacks.

-- name: awaited_runs(limit)
SELECT DISTINCT run_id FROM callbacks WHERE state = 0 ORDER BY run_id LIMIT :limit;

-- name: runs_to_tell(limit)
SELECT id FROM runs WHERE callbacks = 1 AND state >= 6 ORDER BY id LIMIT :limit;

-- name: due_hosts(now, limit)
-- One step per host, however many callbacks are due.
WITH RECURSIVE hosts (host) AS (
    SELECT (SELECT host FROM callbacks WHERE state IN (1, 2) ORDER BY host LIMIT 1)
     UNION ALL
    SELECT (SELECT callbacks.host FROM callbacks
             WHERE state IN (1, 2) AND callbacks.host > hosts.host
             ORDER BY callbacks.host LIMIT 1)
      FROM hosts WHERE hosts.host IS NOT NULL
)
SELECT host FROM hosts
 WHERE host IS NOT NULL
   AND EXISTS (SELECT 1 FROM callbacks
                WHERE callbacks.host = hosts.host AND state IN (1, 2) AND due_at <= :now)
 LIMIT :limit;

-- name: due_callbacks(host, now, limit)
SELECT * FROM callbacks
 WHERE host = :host AND state IN (1, 2) AND due_at <= :now
 ORDER BY due_at, id
 LIMIT :limit;

-- name: find_callback(company_id, callback_id)^
SELECT * FROM callbacks WHERE id = :callback_id AND company_id = :company_id;

-- name: find_callback_by_public_id(company_id, public_id)^
SELECT * FROM callbacks WHERE public_id = :public_id AND company_id = :company_id;

-- name: callbacks_of_run(company_id, run_id)
SELECT * FROM callbacks WHERE run_id = :run_id AND company_id = :company_id ORDER BY id;

-- name: list_callbacks(company_id, before, limit)
SELECT * FROM callbacks WHERE company_id = :company_id AND id < :before
 ORDER BY id DESC LIMIT :limit;

-- name: list_callbacks_in_state(company_id, state, before, limit)
SELECT * FROM callbacks WHERE company_id = :company_id AND state = :state AND id < :before
 ORDER BY id DESC LIMIT :limit;

-- name: count_callbacks(company_id, limit)^
SELECT count(*) FROM (SELECT 1 FROM callbacks WHERE company_id = :company_id LIMIT :limit) AS counted;

-- name: count_callbacks_in_state(company_id, state, limit)^
SELECT count(*) FROM (SELECT 1 FROM callbacks
                       WHERE company_id = :company_id AND state = :state LIMIT :limit) AS counted;

-- name: callback_secret(company_id)^
SELECT number, previous_until FROM callback_secrets WHERE company_id = :company_id;
