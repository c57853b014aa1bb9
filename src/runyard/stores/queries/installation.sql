-- What belongs to the installation as a whole.

-- name: raise_incarnation()<!
UPDATE installation SET incarnation = incarnation + 1 WHERE id = 1 RETURNING incarnation;

-- name: reserve_ids(count)<!
UPDATE installation SET next_id = next_id + :count WHERE id = 1 RETURNING next_id - :count;

-- name: void_leases()!
-- After a restore: no token that was ever dealt fits a run that was running when it was copied.
UPDATE runs SET lease_token = 0 WHERE state = 4;
