-- Who asked for a run, from when on it could run, and what people did to it in between.

ALTER TABLE runs ADD COLUMN started_by BIGINT;
-- From when on it could run, where that is not when it was made: due later, parked and released.
ALTER TABLE runs ADD COLUMN put_off_until BIGINT;
CREATE INDEX runs_put_off ON runs (company_id, put_off_until, id) WHERE put_off_until IS NOT NULL;

-- What the run's row forgets: parked, released, a note. Most runs have none.
CREATE TABLE run_changes (
    run_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    note TEXT
);
CREATE INDEX run_changes_of_run ON run_changes (run_id, at);

ALTER TABLE companies ADD COLUMN switched_at BIGINT;
ALTER TABLE companies ADD COLUMN switched_by BIGINT;
