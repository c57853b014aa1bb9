-- Runs that begin at once or not at all, until it is known which; `due_at` is when somebody looks.
CREATE TABLE at_once (
    run_id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    due_at INTEGER NOT NULL
);
CREATE INDEX at_once_due ON at_once (due_at, run_id);
