-- What belongs to the installation as a whole.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: leap_incarnation(least)<!
-- After a restore, to a number that only an instant gives: beyond whatever the original has reached
-- since it was copied, and beyond earlier restores of the same copy.
UPDATE installation SET incarnation = greatest(incarnation + 1, :least::bigint) WHERE id = 1
RETURNING incarnation;

-- name: void_sessions(now)!
-- After a restore: nobody holds anything.
UPDATE sessions SET closed_at = :now::bigint WHERE closed_at IS NULL;

-- name: keep_key_mark(mark)<!
UPDATE installation SET key_mark = coalesce(key_mark, :mark::bytea) WHERE id = 1 RETURNING key_mark;
