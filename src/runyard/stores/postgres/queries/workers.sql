-- Workers and their sessions.

-- name: register_worker(worker_id, company_id, name, state, version, host, os, address, slots, labels, created_at, last_seen_at, draining)<!
-- A worker that is known by its name keeps its id, its state and its age.
INSERT INTO workers (id, company_id, name, state, version, host, os, address, slots, labels,
                     created_at, last_seen_at, draining)
VALUES (:worker_id, :company_id, :name, :state, :version, :host, :os, :address, :slots, :labels,
        :created_at, :last_seen_at, :draining)
ON CONFLICT (coalesce(company_id, 0), name) DO UPDATE
   SET version = excluded.version, host = excluded.host, os = excluded.os,
       address = excluded.address, slots = excluded.slots, labels = excluded.labels,
       last_seen_at = coalesce(excluded.last_seen_at, workers.last_seen_at),
       draining = excluded.draining
RETURNING id, company_id, name, state, version, host, os, address, slots, labels, created_at,
          last_seen_at, draining;

-- name: set_worker_state(worker_id, state)<!
UPDATE workers SET state = :state WHERE id = :worker_id RETURNING id;

-- name: see_worker(worker_id, at)!
UPDATE workers SET last_seen_at = :at WHERE id = :worker_id;

-- name: open_session(session_id, worker_id, server, lease_expires_at, at)!
INSERT INTO sessions (id, worker_id, server, lease_expires_at, opened_at)
VALUES (:session_id, :worker_id, :server, :lease_expires_at, :at);

-- name: renew_session(session_id, lease_expires_at)!
UPDATE sessions SET lease_expires_at = :lease_expires_at
 WHERE id = :session_id AND closed_at IS NULL;

-- name: close_session(session_id, at)!
UPDATE sessions SET closed_at = :at WHERE id = :session_id AND closed_at IS NULL;

-- name: expire_sessions(now)<!
UPDATE sessions SET closed_at = :now
 WHERE closed_at IS NULL AND lease_expires_at <= :now
RETURNING id;

-- name: expire_sessions_of_server(now, server)<!
UPDATE sessions SET closed_at = :now
 WHERE closed_at IS NULL AND server = :server
RETURNING id;

-- name: list_workers()
SELECT * FROM workers ORDER BY name, id;

-- name: list_workers_of_company(company_id)
-- Its own, and those that serve every company.
SELECT * FROM workers
 WHERE company_id = :company_id OR company_id IS NULL
 ORDER BY name, id;
