-- What belongs to the installation as a whole.

-- name: raise_incarnation()<!
UPDATE installation SET incarnation = incarnation + 1 WHERE id = 1 RETURNING incarnation;

-- name: reserve_ids(count)<!
UPDATE installation SET next_id = next_id + :count WHERE id = 1 RETURNING next_id - :count;
