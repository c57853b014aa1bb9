-- Tasks kept warm for real-time calls, and the records of these calls.

-- `session_id` and `server` say where an allocation's children are kept, while that session lives.
CREATE TABLE allocations (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    call_limit BIGINT NOT NULL,
    overflow TEXT NOT NULL,
    wait_duration BIGINT NOT NULL,
    deadline_duration BIGINT NOT NULL,
    recording TEXT NOT NULL,
    retention_duration BIGINT NOT NULL,
    run_as_user_id BIGINT,
    created_at BIGINT NOT NULL,
    session_id BIGINT,
    server TEXT,
    UNIQUE (company_id, task_id)
);

-- Written once, behind the call: one row and one history index. A small value stands in its row,
-- a large one in the blob that the digest names.
CREATE TABLE calls (
    id BIGINT PRIMARY KEY,
    public_id BYTEA NOT NULL,
    company_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    version_id BIGINT NOT NULL,
    allocation_id BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    cause SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT NOT NULL,
    worker_id BIGINT NOT NULL,
    logged_errors INTEGER NOT NULL,
    input BYTEA,
    input_digest TEXT,
    output BYTEA,
    output_digest TEXT,
    error BYTEA
);
CREATE INDEX calls_history ON calls (company_id, created_at, id);
CREATE INDEX calls_by_input ON calls (input_digest) WHERE input_digest IS NOT NULL;
CREATE INDEX calls_by_output ON calls (output_digest) WHERE output_digest IS NOT NULL;
