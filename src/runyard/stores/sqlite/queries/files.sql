-- Rows of stored files, and which blobs anything still names.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: find_files(company_id, file_ids)
SELECT * FROM files
 WHERE id IN (SELECT value FROM json_each(:file_ids)) AND +company_id = :company_id
 ORDER BY id;

-- name: digests_in_use(digests)
-- Those of the given digests that a value, a step, a file or a version names.
SELECT wanted.value FROM json_each(:digests) AS wanted
 WHERE EXISTS (SELECT 1 FROM run_inputs WHERE digest = wanted.value)
    OR EXISTS (SELECT 1 FROM run_outputs WHERE digest = wanted.value)
    OR EXISTS (SELECT 1 FROM steps WHERE digest = wanted.value)
    OR EXISTS (SELECT 1 FROM files WHERE digest = wanted.value)
    OR EXISTS (SELECT 1 FROM calls WHERE input_digest = wanted.value)
    OR EXISTS (SELECT 1 FROM calls WHERE output_digest = wanted.value)
    OR EXISTS (SELECT 1 FROM versions WHERE bundle_digest = wanted.value);
