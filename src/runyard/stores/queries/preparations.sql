-- Runs whose input files are being fetched.

-- name: next_preparation_at()^
SELECT min(due_at) FROM preparations;
