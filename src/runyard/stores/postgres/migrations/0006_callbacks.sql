-- The outbox of callbacks. A run's own end is the entry in it: `callbacks` is 1 for a run whose
-- callbacks wait for its end, and 2 once they know of it, so that ended runs which still have to be
-- told stand in a partial index, whichever way they ended. Runs without callbacks have 0.
ALTER TABLE runs ADD COLUMN callbacks SMALLINT NOT NULL DEFAULT 0;
CREATE INDEX runs_to_tell ON runs (id) WHERE callbacks = 1 AND state >= 6;

-- `state` is a code of stores/codes.py. While a callback is being sent, `due_at` is when another
-- server may take it over, so those that a dead server had in hand become due by themselves.
CREATE TABLE callbacks (
    id BIGINT PRIMARY KEY,
    public_id BYTEA NOT NULL,
    company_id BIGINT NOT NULL,
    run_id BIGINT NOT NULL,
    dialect TEXT NOT NULL,
    url TEXT NOT NULL,
    host TEXT NOT NULL,
    state SMALLINT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT,
    answered BIGINT,
    detail TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    holder BIGINT
);
CREATE UNIQUE INDEX callbacks_by_public_id ON callbacks (public_id);
CREATE INDEX callbacks_of_run ON callbacks (run_id, id);
CREATE INDEX callbacks_of_company ON callbacks (company_id, id);
CREATE INDEX callbacks_in_state ON callbacks (company_id, state, id);
CREATE INDEX callbacks_awaited ON callbacks (run_id) WHERE state = 0;
CREATE INDEX callbacks_due ON callbacks (host, due_at, id) WHERE state IN (1, 2);
CREATE INDEX callbacks_next ON callbacks (due_at) WHERE state IN (1, 2);

-- Which secrets sign a company's callbacks; without a row the first one alone. The secrets are
-- derived from the installation's master key, by which `key_mark` tells it from others.
CREATE TABLE callback_secrets (
    company_id BIGINT PRIMARY KEY,
    number BIGINT NOT NULL,
    previous_until BIGINT
);
ALTER TABLE installation ADD COLUMN key_mark BYTEA;
