-- How many runs of each task are in each state, and with which cause; kept by the writer in the
-- transaction that changes them (stores/sqlite/counting.py). The lane is 0: there is one writer.
CREATE TABLE run_counts (
    company_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (company_id, task_id, state, cause, lane)
) WITHOUT ROWID;
INSERT INTO run_counts (company_id, task_id, state, cause, lane, count)
SELECT company_id, task_id, state, coalesce(cause, 0), 0, count(*) FROM runs
 GROUP BY company_id, task_id, state, coalesce(cause, 0);

-- By cause too, like the other indexes of what has ended.
DROP INDEX runs_of_worker;
CREATE INDEX runs_of_worker ON runs (worker_id, cause, created_at, id, company_id)
    WHERE state >= 6;
