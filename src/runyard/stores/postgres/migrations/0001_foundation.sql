-- The first schema. States, causes, triggers and outcomes are the codes of stores/codes.py; instants
-- and durations are microseconds; truth is 0 or 1. Every table belongs to a company, first in its
-- indexes where lists are per company.

-- One row per writing connection: the number of the last group that it committed. A server whose
-- connection broke at a commit reads here, under the row's lock, what became of it.
CREATE TABLE lanes (
    id BIGINT PRIMARY KEY,
    group_number BIGINT NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE installation (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    incarnation BIGINT NOT NULL,
    next_id BIGINT NOT NULL
);
INSERT INTO installation (id, incarnation, next_id) VALUES (1, 0, 1);

CREATE TABLE companies (
    id BIGINT PRIMARY KEY,
    uuid BYTEA NOT NULL UNIQUE,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    runnable SMALLINT NOT NULL,
    default_priority BIGINT NOT NULL,
    retention_duration BIGINT NOT NULL,
    queue_cap BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE tokens (
    id BIGINT PRIMARY KEY,
    company_id BIGINT,
    kind TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    last_characters TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX tokens_of_company ON tokens (company_id, created_at, id);

CREATE TABLE tasks (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    uuid BYTEA NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    description TEXT NOT NULL,
    bundle_name TEXT NOT NULL,
    version_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    gate_id BIGINT NOT NULL,
    withdrawn_at BIGINT,
    created_at BIGINT NOT NULL,
    UNIQUE (company_id, key),
    UNIQUE (company_id, uuid)
);
CREATE INDEX tasks_by_name ON tasks (company_id, name);

-- What claims look at and, on PostgreSQL, lock. A pause or a closed task updates these rows.
CREATE TABLE gates (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    runnable SMALLINT NOT NULL,
    company_runnable SMALLINT NOT NULL,
    run_limit BIGINT,
    labels TEXT NOT NULL,
    priority_offset BIGINT NOT NULL,
    withdrawn SMALLINT NOT NULL
);
CREATE INDEX gates_of_company ON gates (company_id, task_id);

CREATE TABLE bundles (
    company_id BIGINT NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (company_id, digest)
);

CREATE TABLE versions (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    bundle_digest TEXT NOT NULL,
    declaration BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (task_id, number)
);
CREATE INDEX versions_by_bundle ON versions (bundle_digest);

-- Hot: fixed width, no values. `outcome` is that of the last attempt, so that a run which needed
-- one attempt needs no row in `attempts`.
CREATE TABLE runs (
    id BIGINT PRIMARY KEY,
    public_id BYTEA NOT NULL,
    company_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    version_id BIGINT NOT NULL,
    gate_id BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    cause SMALLINT,
    priority SMALLINT NOT NULL,
    rank BIGINT NOT NULL,
    level INTEGER NOT NULL,
    restarted_from BIGINT,
    trigger SMALLINT NOT NULL,
    schedule_id BIGINT,
    created_at BIGINT NOT NULL,
    due_at BIGINT,
    queued_at BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    attempt INTEGER NOT NULL DEFAULT 0,
    begun_at BIGINT,
    worker_id BIGINT,
    session_id BIGINT,
    lease_token BIGINT NOT NULL DEFAULT 0,
    outcome SMALLINT,
    logged_errors INTEGER NOT NULL DEFAULT 0,
    progress_done DOUBLE PRECISION,
    progress_total DOUBLE PRECISION
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX runs_by_public_id ON runs (public_id);
-- History: written once, never touched by a change of state.
CREATE INDEX runs_history ON runs (company_id, created_at, id);
CREATE INDEX runs_of_task ON runs (company_id, task_id, created_at, id);
CREATE INDEX runs_of_schedule ON runs (company_id, schedule_id, created_at, id)
    WHERE schedule_id IS NOT NULL;
CREATE INDEX runs_restarted ON runs (company_id, restarted_from, created_at, id)
    WHERE restarted_from IS NOT NULL;
-- What is under way: ended runs are in none of these.
CREATE INDEX runs_queue ON runs (gate_id, rank, id) WHERE state = 3;
CREATE INDEX runs_leased ON runs (gate_id, id) WHERE state IN (4, 5);
CREATE INDEX runs_of_session ON runs (session_id, id) WHERE state = 4;
CREATE INDEX runs_scheduled ON runs (gate_id, id) WHERE state = 2;
CREATE INDEX runs_due ON runs (due_at, id) WHERE state = 2;
CREATE INDEX runs_aside ON runs (company_id, created_at, id) WHERE state IN (0, 1);
CREATE INDEX runs_unfinished ON runs (company_id, created_at, id) WHERE state < 6;
-- What ended badly, so that the few failures among many are found.
CREATE INDEX runs_unsuccessful ON runs (company_id, created_at, id) WHERE state > 6;

-- Values beside the row: `value` up to the inline limit, otherwise `digest` names a blob.
CREATE TABLE run_inputs (
    run_id BIGINT PRIMARY KEY,
    value BYTEA,
    digest TEXT
);
CREATE INDEX run_inputs_by_digest ON run_inputs (digest) WHERE digest IS NOT NULL;

CREATE TABLE run_outputs (
    run_id BIGINT PRIMARY KEY,
    value BYTEA,
    digest TEXT,
    error BYTEA
);
CREATE INDEX run_outputs_by_digest ON run_outputs (digest) WHERE digest IS NOT NULL;

-- Attempts that were followed by another one; the last attempt stands in the run's row.
CREATE TABLE attempts (
    run_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    worker_id BIGINT,
    lease_token BIGINT NOT NULL,
    begun_at BIGINT,
    finished_at BIGINT NOT NULL,
    outcome BIGINT NOT NULL,
    error BYTEA,
    PRIMARY KEY (run_id, number)
);

CREATE TABLE steps (
    run_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    occurrence BIGINT NOT NULL,
    value BYTEA,
    digest TEXT,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, name, occurrence)
);
CREATE INDEX steps_by_digest ON steps (digest) WHERE digest IS NOT NULL;

CREATE TABLE idempotency_keys (
    company_id BIGINT NOT NULL,
    key TEXT NOT NULL,
    request_digest BYTEA NOT NULL,
    first_run_id BIGINT NOT NULL,
    run_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (company_id, key)
);
CREATE INDEX idempotency_keys_by_run ON idempotency_keys (first_run_id);

CREATE TABLE workers (
    id BIGINT PRIMARY KEY,
    company_id BIGINT,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    version TEXT NOT NULL,
    host TEXT NOT NULL,
    os TEXT NOT NULL,
    address TEXT NOT NULL,
    slots BIGINT NOT NULL,
    labels TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT,
    draining SMALLINT NOT NULL
);
CREATE UNIQUE INDEX workers_by_name ON workers (coalesce(company_id, 0), name);

CREATE TABLE sessions (
    id BIGINT PRIMARY KEY,
    worker_id BIGINT NOT NULL,
    server TEXT NOT NULL,
    lease_expires_at BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT
);
CREATE INDEX sessions_open ON sessions (lease_expires_at) WHERE closed_at IS NULL;

CREATE TABLE schedules (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    cron TEXT,
    time_zone TEXT NOT NULL,
    interval_duration BIGINT,
    input BYTEA NOT NULL,
    priority BIGINT,
    enabled SMALLINT NOT NULL,
    next_fire_at BIGINT,
    last_fire_at BIGINT,
    created_at BIGINT NOT NULL,
    UNIQUE (company_id, name)
);
CREATE INDEX schedules_to_fire ON schedules (next_fire_at, id)
    WHERE enabled = 1 AND next_fire_at IS NOT NULL;

CREATE TABLE files (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    run_id BIGINT,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX files_of_company ON files (company_id, created_at, id);
CREATE INDEX files_of_run ON files (run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX files_by_digest ON files (digest);

-- `top_level` is the highest level in the chunk, so that a reader of errors skips the others.
CREATE TABLE log_chunks (
    run_id BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    company_id BIGINT NOT NULL,
    line_count BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    top_level SMALLINT NOT NULL,
    is_packed SMALLINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (run_id, first_line)
);
