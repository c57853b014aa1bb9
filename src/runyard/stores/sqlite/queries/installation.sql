-- What belongs to the installation as a whole.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: leap_incarnation(least)<!
-- After a restore, to a number that only an instant gives: beyond whatever the original has reached
-- since it was copied, and beyond earlier restores of the same copy.
UPDATE installation SET incarnation = max(incarnation + 1, :least) WHERE id = 1
RETURNING incarnation;

-- name: void_sessions(now)!
-- After a restore: nobody holds anything.
UPDATE sessions SET closed_at = :now WHERE closed_at IS NULL;

-- name: keep_key_mark(mark)<!
UPDATE installation SET key_mark = coalesce(key_mark, :mark) WHERE id = 1 RETURNING key_mark;
