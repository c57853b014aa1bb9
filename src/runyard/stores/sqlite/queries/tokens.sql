-- Tokens, by the SHA-256 of what programs present.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: valid_tokens(token_ids, now)
SELECT id FROM tokens
 WHERE id IN (SELECT value FROM json_each(:token_ids))
   AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now);
