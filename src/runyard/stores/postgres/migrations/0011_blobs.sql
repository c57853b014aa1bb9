-- Large values and files, so that every server of this database has them. The parts are compressed already,
-- or not worth it.

CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
);
CREATE INDEX blobs_by_age ON blobs (touched_at);

CREATE TABLE blob_parts (
    digest TEXT NOT NULL,
    number BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (digest, number)
);
ALTER TABLE blob_parts ALTER COLUMN data SET STORAGE EXTERNAL;
