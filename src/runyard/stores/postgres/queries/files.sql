-- Rows of stored files, and which blobs anything still names.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: find_files(company_id, file_ids)
SELECT * FROM files
 WHERE id = ANY (:file_ids::bigint[]) AND company_id = :company_id
 ORDER BY id;

-- name: digests_in_use(digests)
-- Those of the given digests that a value, a step, a file or a version names.
SELECT asked.value FROM unnest(:digests::text[]) AS asked (value)
 WHERE EXISTS (SELECT 1 FROM run_inputs WHERE digest = asked.value)
    OR EXISTS (SELECT 1 FROM run_outputs WHERE digest = asked.value)
    OR EXISTS (SELECT 1 FROM steps WHERE digest = asked.value)
    OR EXISTS (SELECT 1 FROM files WHERE digest = asked.value)
    OR EXISTS (SELECT 1 FROM calls WHERE input_digest = asked.value)
    OR EXISTS (SELECT 1 FROM calls WHERE output_digest = asked.value)
    OR EXISTS (SELECT 1 FROM versions WHERE bundle_digest = asked.value);
