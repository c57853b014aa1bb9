-- Who shares this database. Whether a server is connected is no column: it holds an advisory lock.

CREATE TABLE servers (
    name TEXT PRIMARY KEY,
    incarnation BIGINT NOT NULL,
    address TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    left_at BIGINT
);
