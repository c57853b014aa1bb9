-- Runs: writes. `:sources` is a set of states as bits.

-- name: keep_start_key(company_id, key, request_digest, first_run_id, run_count, created_at)<!
-- Known already: no row answers, and the start's runs are not inserted.
INSERT INTO idempotency_keys (company_id, key, request_digest, first_run_id, run_count, created_at)
VALUES (:company_id, :key, :request_digest, :first_run_id, :run_count, :created_at)
ON CONFLICT DO NOTHING
RETURNING first_run_id;
