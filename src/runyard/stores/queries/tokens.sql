-- Tokens, by the SHA-256 of what programs present.

-- name: insert_token(token_id, company_id, kind, role, name, digest, last_characters, created_at, expires_at, revoked_at, last_used_at, joins)!
INSERT INTO tokens (id, company_id, kind, role, name, digest, last_characters, created_at,
                    expires_at, revoked_at, last_used_at, joins)
VALUES (:token_id, :company_id, :kind, :role, :name, :digest, :last_characters, :created_at,
        :expires_at, :revoked_at, :last_used_at, :joins);

-- name: revoke_token(token_id, company_id, at)<!
UPDATE tokens SET revoked_at = coalesce(revoked_at, :at)
 WHERE id = :token_id AND company_id IS NOT DISTINCT FROM :company_id
RETURNING id;

-- name: note_token_use(token_id, at, unless_after)!
UPDATE tokens SET last_used_at = :at
 WHERE id = :token_id AND (last_used_at IS NULL OR last_used_at <= :unless_after);

-- name: find_token_by_digest(digest)^
SELECT id, company_id, kind, role, name, last_characters, created_at, expires_at, revoked_at,
       last_used_at, joins
  FROM tokens WHERE digest = :digest;

-- name: find_token(token_id)^
SELECT id, company_id, kind, role, name, last_characters, created_at, expires_at, revoked_at,
       last_used_at, joins
  FROM tokens WHERE id = :token_id;

-- name: list_tokens(company_id)
-- Systems present a token as well: theirs stand in their own table.
SELECT id, company_id, kind, role, name, last_characters, created_at, expires_at, revoked_at,
       last_used_at, joins
  FROM tokens
 WHERE company_id IS NOT DISTINCT FROM :company_id
UNION ALL
SELECT id, company_id, 'system', 'operator', name, last_characters, created_at, NULL, removed_at,
       last_seen_at, 0
  FROM systems
 WHERE company_id = :company_id
 ORDER BY created_at DESC, id DESC;
