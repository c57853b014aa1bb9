-- Rows of stored files, and which blobs anything still names.

-- name: insert_file(file_id, company_id, run_id, name, content_type, size, digest, created_at, place)!
INSERT INTO files (id, company_id, run_id, name, content_type, size, digest, created_at, place)
VALUES (:file_id, :company_id, :run_id, :name, :content_type, :size, :digest, :created_at, :place);

-- name: find_file(company_id, file_id)^
SELECT * FROM files WHERE id = :file_id AND company_id = :company_id;

-- name: files_of_run(company_id, run_id)
SELECT * FROM files WHERE run_id = :run_id AND company_id = :company_id AND place IS NULL
 ORDER BY id;

-- name: files_fetched_for(company_id, run_id)
SELECT * FROM files WHERE run_id = :run_id AND company_id = :company_id AND place IS NOT NULL
 ORDER BY place, id;

-- name: list_files(company_id, limit)
SELECT * FROM files WHERE company_id = :company_id
 ORDER BY created_at DESC, id DESC
 LIMIT :limit;

-- name: company_has_blob(company_id, digest)^
-- Whether a bundle or a file of the company is this blob.
SELECT EXISTS (SELECT 1 FROM bundles WHERE company_id = :company_id AND digest = :digest)
    OR EXISTS (SELECT 1 FROM files WHERE digest = :digest AND company_id = :company_id);
