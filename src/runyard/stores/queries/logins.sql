-- Logins, by the SHA-256 of what browsers present.

-- name: insert_login(login_id, user_id, digest, created_at, last_used_at, expires_at, address, browser)!
INSERT INTO logins (id, user_id, digest, created_at, last_used_at, expires_at, address, browser)
VALUES (:login_id, :user_id, :digest, :created_at, :last_used_at, :expires_at, :address, :browser);

-- name: delete_ended_logins(user_id, at)!
DELETE FROM logins
 WHERE user_id = :user_id AND (expires_at <= :at OR revoked_at IS NOT NULL);

-- name: find_login_by_digest(digest)^
SELECT id, user_id, created_at, last_used_at, expires_at, revoked_at, address, browser
  FROM logins WHERE digest = :digest;

-- name: list_logins(user_id, at)
-- Those that are neither revoked nor expired.
SELECT id, user_id, created_at, last_used_at, expires_at, revoked_at, address, browser
  FROM logins
 WHERE user_id = :user_id AND revoked_at IS NULL AND expires_at > :at
 ORDER BY created_at DESC, id DESC;

-- name: note_login_use(login_id, at, unless_after)!
UPDATE logins SET last_used_at = :at
 WHERE id = :login_id AND last_used_at <= :unless_after;

-- name: revoke_login(user_id, login_id, at)<!
UPDATE logins SET revoked_at = coalesce(revoked_at, :at)
 WHERE id = :login_id AND user_id = :user_id
RETURNING id;

-- name: revoke_logins(user_id, at, kept_login_id)!
-- All of a user, but for one that may be kept.
UPDATE logins SET revoked_at = :at
 WHERE user_id = :user_id AND revoked_at IS NULL AND id IS DISTINCT FROM :kept_login_id;
