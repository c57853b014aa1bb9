-- Writes find runs by id and say `state + 0 = 4`, so that no index of runs in that state tempts the
-- planner: the indexes of active runs must not be implied by that either.
DROP INDEX runs_active;
DROP INDEX runs_active_of_task;
CREATE INDEX runs_active ON runs (company_id, created_at, id)
    WHERE state * 1 >= 3 AND state * 1 <= 4;
CREATE INDEX runs_active_of_task ON runs (task_id, created_at, id, company_id)
    WHERE state * 1 >= 3 AND state * 1 <= 4;
