-- Runs whose input files are being fetched.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: insert_preparation(run_id, company_id, parked, allowed, holder, until)!
INSERT INTO preparations (run_id, company_id, parked, allowed, holder, due_at)
SELECT * FROM unnest(:run_id::bigint[], :company_id::bigint[], :parked::smallint[],
                     :allowed::text[], :holder::bigint[], :until::bigint[]);

-- name: take_preparations(now, until, holder, limit)<!
-- What another server is just taking is left to it.
WITH due AS MATERIALIZED (
    SELECT run_id FROM preparations
     WHERE due_at <= :now::bigint
     ORDER BY due_at, run_id
     LIMIT :limit::bigint
       FOR UPDATE SKIP LOCKED
)
UPDATE preparations SET holder = :holder::bigint, due_at = :until::bigint
  FROM due
 WHERE preparations.run_id = due.run_id
RETURNING preparations.run_id, company_id, parked, allowed;

-- name: keep_preparations(holder, until)!
UPDATE preparations SET due_at = :until::bigint WHERE holder = :holder::bigint;

-- name: release_preparations(now, holder)!
-- All of them, when no holder is named.
UPDATE preparations SET due_at = :now::bigint, holder = NULL
 WHERE :holder::bigint IS NULL OR holder = :holder::bigint;

-- name: delete_preparation(run_id)!
DELETE FROM preparations WHERE run_id = ANY (:run_id::bigint[]);

-- name: replace_input(run_id, value, digest)!
UPDATE run_inputs SET value = given.value, digest = given.digest
  FROM unnest(:run_id::bigint[], :value::bytea[], :digest::text[]) AS given (run_id, value, digest)
 WHERE run_inputs.run_id = given.run_id;

-- name: adopt_file(run_id, file_id, company_id)!
UPDATE files SET run_id = given.run_id
  FROM unnest(:run_id::bigint[], :file_id::bigint[], :company_id::bigint[])
       AS given (run_id, file_id, company_id)
 WHERE files.id = given.file_id AND files.company_id = given.company_id AND place IS NOT NULL;
