-- Lists of a million runs: a page costs what it shows. Each index is in the order of lists; which of
-- them a filter goes along is decided in stores/filters.py. Runs that have ended are in one range for
-- each cause, those that are set aside in one for each state; what is in the queue or running changes
-- often, and shares one index that a claim leaves alone.
--
-- SQLite builds a set each time it looks at `IN`, so conditions are comparisons. PostgreSQL chooses by
-- statistics, so an index that does not serve a list cannot be used for it: `state + 0` is implied by
-- nothing but itself, and a company comes last where something narrower comes first.
DROP INDEX runs_history;
DROP INDEX runs_of_task;
DROP INDEX runs_leased;
DROP INDEX runs_of_session;
DROP INDEX runs_aside;
DROP INDEX runs_unfinished;
DROP INDEX runs_unsuccessful;

-- Never more than the workers hold: sessions and companies find theirs by looking at all of them.
CREATE INDEX runs_running ON runs (gate_id, id) WHERE state = 4;
CREATE INDEX runs_active ON runs (company_id, created_at, id)
    WHERE state + 0 >= 3 AND state + 0 <= 4;
CREATE INDEX runs_active_of_task ON runs (task_id, created_at, id, company_id)
    WHERE state + 0 >= 3 AND state + 0 <= 4;
CREATE INDEX runs_aside ON runs (company_id, state, created_at, id)
    WHERE state <> 3 AND state <> 4 AND state < 6;
CREATE INDEX runs_aside_of_task ON runs (task_id, state, created_at, id, company_id)
    WHERE state <> 3 AND state <> 4 AND state < 6;
CREATE INDEX runs_ended ON runs (company_id, cause, created_at, id) WHERE state >= 6;
CREATE INDEX runs_ended_of_task ON runs (task_id, cause, created_at, id, company_id)
    WHERE state >= 6;
CREATE INDEX runs_by_end ON runs (company_id, finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX runs_by_trigger ON runs (trigger, company_id, created_at, id);
CREATE INDEX runs_of_worker ON runs (worker_id, created_at, id, company_id) WHERE state >= 6;
-- Runs that a worker has had and that wait for another attempt.
CREATE INDEX runs_tried_of_worker ON runs (worker_id, created_at, id, company_id)
    WHERE worker_id IS NOT NULL AND state <> 4 AND state < 6;
-- Runs that wait for another attempt: few beside those that wait for their first.
CREATE INDEX runs_between_attempts ON runs (gate_id, state, id)
    WHERE attempt > 0 AND state >= 2 AND state <= 3;
