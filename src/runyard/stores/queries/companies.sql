-- Companies and their orchestrators.

-- name: insert_company(company_id, uuid, slug, name, time_zone, runnable, default_priority, retention_duration, queue_cap, weight, created_at)<!
INSERT INTO companies (id, uuid, slug, name, time_zone, runnable, default_priority,
                       retention_duration, queue_cap, weight, created_at)
VALUES (:company_id, :uuid, :slug, :name, :time_zone, :runnable, :default_priority,
        :retention_duration, :queue_cap, :weight, :created_at)
ON CONFLICT (slug) DO NOTHING
RETURNING id;

-- name: update_company(company_id, name, time_zone, default_priority, retention_duration, queue_cap, weight)<!
UPDATE companies
   SET name = :name, time_zone = :time_zone, default_priority = :default_priority,
       retention_duration = :retention_duration, queue_cap = :queue_cap, weight = :weight
 WHERE id = :company_id
RETURNING id;

-- name: set_company_runnable(company_id, runnable, at, switched_by)<!
-- Switching to what it is already is no change.
UPDATE companies
   SET switched_at = CASE WHEN runnable = :runnable THEN switched_at ELSE :at END,
       switched_by = CASE WHEN runnable = :runnable THEN switched_by ELSE :switched_by END,
       runnable = :runnable
 WHERE id = :company_id
RETURNING id;

-- name: find_company_by_slug(slug)^
SELECT * FROM companies WHERE slug = :slug;

-- name: find_company(company_id)^
SELECT * FROM companies WHERE id = :company_id;

-- name: list_companies()
SELECT * FROM companies ORDER BY slug;
