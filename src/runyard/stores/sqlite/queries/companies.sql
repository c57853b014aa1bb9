-- Companies and their orchestrators.
-- Here is what SQLite says in its own way; the rest stands in `stores/queries`.

-- name: set_company_gates_runnable(company_id, runnable)!
UPDATE gates SET company_runnable = :runnable WHERE company_id = :company_id;
