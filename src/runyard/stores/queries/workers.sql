-- Workers and their sessions.

-- name: register_worker(worker_id, company_id, name, state, version, host, os, address, slots, labels, isolation, created_at, last_seen_at)<!
-- A worker that is known by its name keeps its id, its age and whether it drains. One that waits to be
-- allowed may come allowed; otherwise what an administrator decided stands.
INSERT INTO workers (id, company_id, name, state, version, host, os, address, slots, labels,
                     isolation, created_at, last_seen_at, draining)
VALUES (:worker_id, :company_id, :name, :state, :version, :host, :os, :address, :slots, :labels,
        :isolation, :created_at, :last_seen_at, 0)
ON CONFLICT (coalesce(company_id, 0), name) DO UPDATE
   SET state = CASE workers.state WHEN 'request' THEN excluded.state ELSE workers.state END,
       version = excluded.version, host = excluded.host, os = excluded.os,
       address = excluded.address, slots = excluded.slots, labels = excluded.labels,
       isolation = excluded.isolation,
       last_seen_at = coalesce(excluded.last_seen_at, workers.last_seen_at)
RETURNING id, company_id, name, state, version, host, os, address, slots, labels, created_at,
          last_seen_at, draining, isolation, busy;

-- name: set_worker_state(worker_id, state)<!
UPDATE workers SET state = :state WHERE id = :worker_id RETURNING id;

-- name: drain_worker(worker_id, draining)<!
UPDATE workers SET draining = :draining WHERE id = :worker_id RETURNING id;

-- name: remove_worker(worker_id)<!
DELETE FROM workers WHERE id = :worker_id RETURNING id;

-- name: see_worker(worker_id, at)!
UPDATE workers SET last_seen_at = :at WHERE id = :worker_id;

-- name: note_worker(worker_id, at, busy)!
UPDATE workers SET last_seen_at = :at, busy = :busy WHERE id = :worker_id;

-- name: open_session(session_id, worker_id, server, lease_expires_at, at, resume_digest)!
INSERT INTO sessions (id, worker_id, server, lease_expires_at, opened_at, resume_digest)
VALUES (:session_id, :worker_id, :server, :lease_expires_at, :at, :resume_digest)
ON CONFLICT (id) DO NOTHING;

-- name: renew_session(session_id, lease_expires_at)!
UPDATE sessions SET lease_expires_at = :lease_expires_at
 WHERE id = :session_id AND closed_at IS NULL;

-- name: close_session(session_id, at)<!
UPDATE sessions SET closed_at = :at WHERE id = :session_id AND closed_at IS NULL RETURNING id;

-- name: succeed_session(session_id, successor_id, resume_digest, now)<!
-- Whoever holds the key goes on under another session, while the lease lasts. Saying it again to the
-- same end is the same: the answer may have got lost.
UPDATE sessions SET closed_at = :now, successor_id = :successor_id
 WHERE id = :session_id AND resume_digest = :resume_digest
   AND (successor_id = :successor_id OR (closed_at IS NULL AND lease_expires_at > :now))
RETURNING id, worker_id;

-- name: hand_over_runs(session_id, successor_id)!
-- The leases, under their tokens, of a session to its successor.
UPDATE runs SET session_id = :successor_id WHERE session_id = :session_id AND state = 4;

-- name: open_sessions()
SELECT id, worker_id, server, lease_expires_at FROM sessions WHERE closed_at IS NULL;

-- name: expire_sessions(now)<!
UPDATE sessions SET closed_at = :now
 WHERE closed_at IS NULL AND lease_expires_at <= :now
RETURNING id;

-- name: expire_sessions_of_server(now, server)<!
-- Those that nobody can resume.
UPDATE sessions SET closed_at = :now
 WHERE closed_at IS NULL AND server = :server AND resume_digest IS NULL
RETURNING id;

-- name: delete_sessions(closed_before)!
-- Closed ones whose time has passed: a run that names one is as abandoned without it.
DELETE FROM sessions WHERE closed_at IS NOT NULL AND closed_at < :closed_before;

-- name: list_workers()
SELECT * FROM workers ORDER BY name, id;

-- name: find_worker(worker_id)^
SELECT * FROM workers WHERE id = :worker_id;

-- name: find_worker_by_name(company_id, name)^
SELECT * FROM workers WHERE coalesce(company_id, 0) = coalesce(:company_id, 0) AND name = :name;

-- name: list_workers_of_company(company_id)
-- Its own, and those that serve every company.
SELECT * FROM workers
 WHERE company_id = :company_id OR company_id IS NULL
 ORDER BY name, id;
