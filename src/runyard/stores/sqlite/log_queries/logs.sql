-- Log lines, in chunks.

-- name: insert_chunk(run_id, company_id, first_line, line_count, dropped, top_level, is_packed, body)!
-- A chunk that was sent again after a lost answer replaces itself; chunk 0 only counts.
INSERT INTO log_chunks (run_id, company_id, first_line, line_count, dropped, top_level, is_packed,
                        body)
VALUES (:run_id, :company_id, :first_line, :line_count, :dropped, :top_level, :is_packed, :body)
ON CONFLICT (run_id, first_line) DO UPDATE
   SET line_count = excluded.line_count,
       dropped = excluded.dropped
               + CASE WHEN excluded.first_line = 0 THEN log_chunks.dropped ELSE 0 END,
       top_level = excluded.top_level, is_packed = excluded.is_packed, body = excluded.body;

-- name: delete_chunks(run_id)!
DELETE FROM log_chunks WHERE run_id = :run_id;

-- name: read_chunks(company_id, run_id, top_level, after, limit)
-- Chunks that may hold lines of the level beyond `:after`, in order.
SELECT first_line, is_packed, body FROM log_chunks
 WHERE run_id = :run_id AND company_id = :company_id
   AND first_line + line_count - 1 > :after AND top_level >= :top_level
 ORDER BY first_line
 LIMIT :limit;

-- name: dropped_lines(company_id, run_id)$
SELECT coalesce(sum(dropped), 0) FROM log_chunks
 WHERE run_id = :run_id AND company_id = :company_id;

-- name: last_line(company_id, run_id)$
SELECT coalesce(max(first_line + line_count - 1), 0) FROM log_chunks
 WHERE run_id = :run_id AND company_id = :company_id;
