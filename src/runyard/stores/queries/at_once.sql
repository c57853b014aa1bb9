-- Runs that begin at once or not at all.

-- name: insert_at_once(run_id, company_id, due_at)!
INSERT INTO at_once (run_id, company_id, due_at) VALUES (:run_id, :company_id, :due_at);

-- name: next_at_once()^
SELECT min(due_at) FROM at_once;

-- name: take_at_once(now, until, limit)<!
-- What is due is looked at once more outside: of two servers that choose the same, the second gets nothing.
UPDATE at_once SET due_at = :until
 WHERE run_id IN (SELECT run_id FROM at_once
                   WHERE due_at <= :now ORDER BY due_at, run_id LIMIT :limit)
   AND due_at <= :now
RETURNING company_id, run_id;

-- name: delete_at_once(run_id)!
DELETE FROM at_once WHERE run_id = :run_id;
