-- Workers and their sessions.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: shorten_sessions_of_server(server, lease_expires_at)!
-- Their workers may resume until then.
UPDATE sessions SET lease_expires_at = least(lease_expires_at, :lease_expires_at)
 WHERE closed_at IS NULL AND server = :server;
