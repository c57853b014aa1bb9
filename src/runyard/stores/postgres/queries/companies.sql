-- Companies and their orchestrators.
-- Here is what PostgreSQL says in its own way; the rest stands in `stores/queries`.

-- name: set_company_gates_runnable(company_id, runnable)!
-- In the order in which claims lock them.
WITH own AS MATERIALIZED (
    SELECT id FROM gates WHERE company_id = :company_id ORDER BY id FOR NO KEY UPDATE
)
UPDATE gates SET company_runnable = :runnable FROM own WHERE gates.id = own.id;
