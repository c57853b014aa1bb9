-- Tickets, API keys, and what tokens are signed with.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: insert_first_signing_key(key_id, sealed, created_at)!
INSERT INTO signing_keys (id, sealed, created_at)
SELECT :key_id::text, :sealed::bytea, :created_at::bigint
 WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE retired_at IS NULL);
