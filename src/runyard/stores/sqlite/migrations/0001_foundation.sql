-- The first schema. States, causes, triggers and outcomes are the codes of stores/codes.py; instants
-- and durations are microseconds; truth is 0 or 1. Every table belongs to a company, first in its
-- indexes where lists are per company.

CREATE TABLE installation (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    incarnation INTEGER NOT NULL,
    next_id INTEGER NOT NULL
);
INSERT INTO installation (id, incarnation, next_id) VALUES (1, 0, 1);

CREATE TABLE companies (
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL UNIQUE,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    runnable INTEGER NOT NULL,
    default_priority INTEGER NOT NULL,
    retention_duration INTEGER NOT NULL,
    queue_cap INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    company_id INTEGER,
    kind TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    last_characters TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
);
CREATE INDEX tokens_of_company ON tokens (company_id, created_at, id);

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    uuid BLOB NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    description TEXT NOT NULL,
    bundle_name TEXT NOT NULL,
    version_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    gate_id INTEGER NOT NULL,
    withdrawn_at INTEGER,
    created_at INTEGER NOT NULL,
    UNIQUE (company_id, key),
    UNIQUE (company_id, uuid)
);
CREATE INDEX tasks_by_name ON tasks (company_id, name);

-- What claims look at and, on PostgreSQL, lock. A pause or a closed task updates these rows.
CREATE TABLE gates (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    runnable INTEGER NOT NULL,
    company_runnable INTEGER NOT NULL,
    run_limit INTEGER,
    labels TEXT NOT NULL,
    priority_offset INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL
);
CREATE INDEX gates_of_company ON gates (company_id, task_id);

CREATE TABLE bundles (
    company_id INTEGER NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (company_id, digest)
) WITHOUT ROWID;

CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    bundle_digest TEXT NOT NULL,
    declaration BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (task_id, number)
);
CREATE INDEX versions_by_bundle ON versions (bundle_digest);

-- Hot: fixed width, no values. `outcome` is that of the last attempt, so that a run which needed
-- one attempt needs no row in `attempts`.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    public_id BLOB NOT NULL,
    company_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    version_id INTEGER NOT NULL,
    gate_id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    cause INTEGER,
    priority INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    level INTEGER NOT NULL,
    restarted_from INTEGER,
    trigger INTEGER NOT NULL,
    schedule_id INTEGER,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    queued_at INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    attempt INTEGER NOT NULL DEFAULT 0,
    begun_at INTEGER,
    worker_id INTEGER,
    session_id INTEGER,
    lease_token INTEGER NOT NULL DEFAULT 0,
    outcome INTEGER,
    logged_errors INTEGER NOT NULL DEFAULT 0,
    progress_done REAL,
    progress_total REAL
);
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
    run_id INTEGER PRIMARY KEY,
    value BLOB,
    digest TEXT
);
CREATE INDEX run_inputs_by_digest ON run_inputs (digest) WHERE digest IS NOT NULL;

CREATE TABLE run_outputs (
    run_id INTEGER PRIMARY KEY,
    value BLOB,
    digest TEXT,
    error BLOB
);
CREATE INDEX run_outputs_by_digest ON run_outputs (digest) WHERE digest IS NOT NULL;

-- Attempts that were followed by another one; the last attempt stands in the run's row.
CREATE TABLE attempts (
    run_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    worker_id INTEGER,
    lease_token INTEGER NOT NULL,
    begun_at INTEGER,
    finished_at INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    error BLOB,
    PRIMARY KEY (run_id, number)
) WITHOUT ROWID;

CREATE TABLE steps (
    run_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    occurrence INTEGER NOT NULL,
    value BLOB,
    digest TEXT,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, name, occurrence)
);
CREATE INDEX steps_by_digest ON steps (digest) WHERE digest IS NOT NULL;

CREATE TABLE idempotency_keys (
    company_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    request_digest BLOB NOT NULL,
    first_run_id INTEGER NOT NULL,
    run_count INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (company_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_run ON idempotency_keys (first_run_id);

CREATE TABLE workers (
    id INTEGER PRIMARY KEY,
    company_id INTEGER,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    version TEXT NOT NULL,
    host TEXT NOT NULL,
    os TEXT NOT NULL,
    address TEXT NOT NULL,
    slots INTEGER NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER,
    draining INTEGER NOT NULL
);
CREATE UNIQUE INDEX workers_by_name ON workers (coalesce(company_id, 0), name);

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    worker_id INTEGER NOT NULL,
    server TEXT NOT NULL,
    lease_expires_at INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER
);
CREATE INDEX sessions_open ON sessions (lease_expires_at) WHERE closed_at IS NULL;

CREATE TABLE schedules (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    cron TEXT,
    time_zone TEXT NOT NULL,
    interval_duration INTEGER,
    input BLOB NOT NULL,
    priority INTEGER,
    enabled INTEGER NOT NULL,
    next_fire_at INTEGER,
    last_fire_at INTEGER,
    created_at INTEGER NOT NULL,
    UNIQUE (company_id, name)
);
CREATE INDEX schedules_to_fire ON schedules (next_fire_at, id)
    WHERE enabled = 1 AND next_fire_at IS NOT NULL;

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    run_id INTEGER,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX files_of_company ON files (company_id, created_at, id);
CREATE INDEX files_of_run ON files (run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX files_by_digest ON files (digest);
