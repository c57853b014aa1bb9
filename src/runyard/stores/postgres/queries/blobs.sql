-- Large values and files in parts, shared by all servers of the database.

-- name: share_blob(digest, size)^
-- Kept already: it only becomes young again, so that it is not pruned before a row names it.
INSERT INTO blobs (digest, size, touched_at)
VALUES (:digest, :size, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT (digest) DO UPDATE SET touched_at = excluded.touched_at
RETURNING (xmax = 0)::integer;

-- name: share_part(digest, number, data)!
INSERT INTO blob_parts (digest, number, data) VALUES (:digest, :number, :data);

-- name: shared_size(digest)^
SELECT size FROM blobs WHERE digest = :digest;

-- name: shared_part(digest, number)^
SELECT data FROM blob_parts WHERE digest = :digest AND number = :number;

-- name: old_blobs(before, after_touched, after_digest, limit)
-- Those after a place in the order of their age: most of them are named, and stay.
SELECT digest, touched_at FROM blobs
 WHERE touched_at < :before AND (touched_at, digest) > (:after_touched, :after_digest)
 ORDER BY touched_at, digest
 LIMIT :limit;

-- name: unshare_blobs(digests, before)
-- But for those that were kept again since they were listed: whoever did that is about to name them.
WITH gone AS (
    DELETE FROM blobs WHERE digest = ANY (:digests::text[]) AND touched_at < :before
    RETURNING digest
), parts AS (
    DELETE FROM blob_parts USING gone WHERE blob_parts.digest = gone.digest
)
SELECT digest FROM gone;
