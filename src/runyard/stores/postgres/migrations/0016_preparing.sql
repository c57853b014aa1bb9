-- Runs whose input files are being fetched. Whoever starts one holds it; `due_at` is when another server
-- may take it over, so those of a dead server become due by themselves.
CREATE TABLE preparations (
    run_id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    parked SMALLINT NOT NULL,
    allowed TEXT NOT NULL,
    holder BIGINT,
    due_at BIGINT NOT NULL
);
CREATE INDEX preparations_due ON preparations (due_at, run_id);
CREATE INDEX preparations_held ON preparations (holder);

-- Which address of its run's input a file was fetched from; null for what runs return and for uploads.
ALTER TABLE files ADD COLUMN place BIGINT;
