-- Tasks kept warm for real-time calls, and the records of these calls.

-- `session_id` and `server` say where an allocation's children are kept, while that session lives.
CREATE TABLE allocations (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    call_limit INTEGER NOT NULL,
    overflow TEXT NOT NULL,
    wait_duration INTEGER NOT NULL,
    deadline_duration INTEGER NOT NULL,
    recording TEXT NOT NULL,
    retention_duration INTEGER NOT NULL,
    run_as_user_id INTEGER,
    created_at INTEGER NOT NULL,
    session_id INTEGER,
    server TEXT,
    UNIQUE (company_id, task_id)
);

-- Written once, behind the call: one row and one history index. A small value stands in its row,
-- a large one in the blob that the digest names.
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    public_id BLOB NOT NULL,
    company_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    version_id INTEGER NOT NULL,
    allocation_id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER NOT NULL,
    worker_id INTEGER NOT NULL,
    logged_errors INTEGER NOT NULL,
    input BLOB,
    input_digest TEXT,
    output BLOB,
    output_digest TEXT,
    error BLOB
);
CREATE INDEX calls_history ON calls (company_id, created_at, id);
CREATE INDEX calls_by_input ON calls (input_digest) WHERE input_digest IS NOT NULL;
CREATE INDEX calls_by_output ON calls (output_digest) WHERE output_digest IS NOT NULL;
