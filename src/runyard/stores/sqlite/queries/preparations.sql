-- Runs whose input files are being fetched.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: insert_preparation(run_id, company_id, parked, allowed, holder, until)!
INSERT INTO preparations (run_id, company_id, parked, allowed, holder, due_at)
VALUES (:run_id, :company_id, :parked, :allowed, :holder, :until);

-- name: take_preparations(now, until, holder, limit)<!
UPDATE preparations SET holder = :holder, due_at = :until
 WHERE run_id IN (SELECT run_id FROM preparations
                   WHERE due_at <= :now ORDER BY due_at, run_id LIMIT :limit)
RETURNING run_id, company_id, parked, allowed;

-- name: keep_preparations(holder, until)!
UPDATE preparations SET due_at = :until WHERE holder = :holder;

-- name: release_preparations(now, holder)!
-- All of them, when no holder is named.
UPDATE preparations SET due_at = :now, holder = NULL WHERE :holder IS NULL OR holder = :holder;

-- name: delete_preparation(run_id)!
DELETE FROM preparations WHERE run_id = :run_id;

-- name: replace_input(run_id, value, digest)!
UPDATE run_inputs SET value = :value, digest = :digest WHERE run_id = :run_id;

-- name: adopt_file(run_id, file_id, company_id)!
UPDATE files SET run_id = :run_id
 WHERE id = :file_id AND company_id = :company_id AND place IS NOT NULL;
