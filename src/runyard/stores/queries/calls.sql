-- Allocations and the records of calls.

-- name: delete_allocation(company_id, task_id)<!
DELETE FROM allocations WHERE company_id = :company_id AND task_id = :task_id RETURNING id;

-- name: find_allocation(company_id, task_id)^
SELECT * FROM allocations WHERE company_id = :company_id AND task_id = :task_id;

-- name: list_allocations(company_id)
SELECT * FROM allocations WHERE company_id = :company_id ORDER BY created_at, id;

-- name: all_allocations()
SELECT * FROM allocations ORDER BY created_at, id;

-- name: place_allocation(allocation_id, session_id, server, now, instead_of)<!
-- Guard: the session that it is kept with is over, or is the one that this takes the place of, or
-- there is none.
UPDATE allocations SET session_id = :session_id, server = :server
 WHERE id = :allocation_id
   AND NOT EXISTS (SELECT 1 FROM sessions
                    WHERE sessions.id = allocations.session_id AND sessions.closed_at IS NULL
                      AND sessions.lease_expires_at > :now
                      AND sessions.id NOT IN (:session_id, :instead_of))
RETURNING id;

-- name: displace_allocation(allocation_id, session_id)<!
UPDATE allocations SET session_id = NULL, server = NULL
 WHERE id = :allocation_id AND session_id = :session_id
RETURNING id;

-- name: placed_allocations(now)
SELECT allocations.id, allocations.session_id, allocations.server
  FROM allocations JOIN sessions ON sessions.id = allocations.session_id
 WHERE sessions.closed_at IS NULL AND sessions.lease_expires_at > :now
 ORDER BY allocations.id;

-- name: find_call(company_id, run_id)^
SELECT * FROM calls WHERE id = :run_id AND company_id = :company_id;

-- name: find_call_by_public_id(company_id, public_id, earliest, latest)^
SELECT * FROM calls
 WHERE company_id = :company_id AND created_at BETWEEN :earliest AND :latest
   AND public_id = :public_id;

-- name: old_calls(company_id, task_id, created_before, limit)
SELECT id FROM calls
 WHERE company_id = :company_id AND created_at < :created_before AND task_id = :task_id
 ORDER BY created_at, id
 LIMIT :limit;

-- name: count_calls_up(company_id, month, calls)<!
INSERT INTO call_counts (company_id, month, calls) VALUES (:company_id, :month, :calls)
ON CONFLICT (company_id, month) DO UPDATE SET calls = call_counts.calls + excluded.calls
RETURNING calls;
