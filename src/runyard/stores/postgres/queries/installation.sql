-- What belongs to the installation as a whole.

-- name: raise_incarnation()<!
UPDATE installation SET incarnation = incarnation + 1 WHERE id = 1 RETURNING incarnation;

-- name: reserve_ids(count)<!
UPDATE installation SET next_id = next_id + :count WHERE id = 1 RETURNING next_id - :count;

-- name: leap_incarnation(least)<!
-- After a restore, to a number that only an instant gives: beyond whatever the original has reached
-- since it was copied, and beyond earlier restores of the same copy.
UPDATE installation SET incarnation = greatest(incarnation + 1, :least::bigint) WHERE id = 1
RETURNING incarnation;

-- name: void_sessions(now)!
-- After a restore: nobody holds anything.
UPDATE sessions SET closed_at = :now::bigint WHERE closed_at IS NULL;

-- name: void_leases()!
-- After a restore: no token that was ever dealt fits a run that was running when it was copied.
UPDATE runs SET lease_token = 0 WHERE state = 4;

-- name: keep_key_mark(mark)<!
UPDATE installation SET key_mark = coalesce(key_mark, :mark::bytea) WHERE id = 1 RETURNING key_mark;
