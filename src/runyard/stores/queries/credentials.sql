-- Tickets, API keys, and what tokens are signed with.

-- name: insert_ticket(ticket_id, user_id, company_id, api_key_id, is_multiple, created_at, expires_at)!
INSERT INTO tickets (id, user_id, company_id, api_key_id, is_multiple, created_at, expires_at)
VALUES (:ticket_id, :user_id, :company_id, :api_key_id, :is_multiple, :created_at, :expires_at);

-- name: delete_old_tickets(user_id, expired_before)!
DELETE FROM tickets WHERE user_id = :user_id AND expires_at < :expired_before;

-- name: end_single_tickets(user_id, at)!
-- A login that is not for several sessions ends those before it that are not.
UPDATE tickets SET ended_at = :at, ended_by = 'other-login'
 WHERE user_id = :user_id AND ended_at IS NULL AND is_multiple = 0;

-- name: end_oldest_tickets(user_id, at, most)!
-- Beyond so many that open, the oldest end. Ids rise.
UPDATE tickets SET ended_at = :at, ended_by = 'too-many'
 WHERE user_id = :user_id AND ended_at IS NULL AND expires_at > :at
   AND id NOT IN (SELECT id FROM tickets
                   WHERE user_id = :user_id AND ended_at IS NULL AND expires_at > :at
                   ORDER BY id DESC LIMIT :most);

-- name: end_ticket(ticket_id, at, ended_by)<!
UPDATE tickets SET ended_at = :at, ended_by = :ended_by
 WHERE id = :ticket_id AND ended_at IS NULL
RETURNING id;

-- name: end_tickets(user_id, at)!
UPDATE tickets SET ended_at = :at, ended_by = 'revoked'
 WHERE user_id = :user_id AND ended_at IS NULL;

-- name: end_tickets_of_key(api_key_id, at)!
UPDATE tickets SET ended_at = :at, ended_by = 'revoked'
 WHERE api_key_id = :api_key_id AND ended_at IS NULL;

-- name: find_ticket(ticket_id)^
SELECT id, user_id, company_id, api_key_id, is_multiple, created_at, expires_at, ended_at, ended_by
  FROM tickets WHERE id = :ticket_id;

-- name: insert_api_key(api_key_id, user_id, name, digest, last_characters, created_at, expires_at)!
INSERT INTO api_keys (id, user_id, name, digest, last_characters, created_at, expires_at)
VALUES (:api_key_id, :user_id, :name, :digest, :last_characters, :created_at, :expires_at);

-- name: find_api_key_by_digest(digest)^
SELECT id, user_id, name, last_characters, created_at, expires_at, revoked_at, last_used_at
  FROM api_keys WHERE digest = :digest;

-- name: list_api_keys(user_id)
SELECT id, user_id, name, last_characters, created_at, expires_at, revoked_at, last_used_at
  FROM api_keys WHERE user_id = :user_id
 ORDER BY created_at DESC, id DESC;

-- name: revoke_api_key(user_id, api_key_id, at)<!
UPDATE api_keys SET revoked_at = coalesce(revoked_at, :at)
 WHERE id = :api_key_id AND user_id = :user_id
RETURNING id;

-- name: note_api_key_use(api_key_id, at)!
UPDATE api_keys SET last_used_at = :at WHERE id = :api_key_id;

-- name: insert_signing_key(key_id, sealed, created_at)!
INSERT INTO signing_keys (id, sealed, created_at) VALUES (:key_id, :sealed, :created_at);

-- name: retire_signing_keys(at)!
UPDATE signing_keys SET retired_at = :at WHERE retired_at IS NULL;

-- name: delete_old_signing_keys(retired_before)!
DELETE FROM signing_keys WHERE retired_at < :retired_before;

-- name: delete_signing_key(key_id)!
DELETE FROM signing_keys WHERE id = :key_id;

-- name: list_signing_keys()
SELECT id, sealed, created_at, retired_at FROM signing_keys ORDER BY created_at DESC, id DESC;
