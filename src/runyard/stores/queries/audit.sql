-- The audit log, in the order of time.

-- name: insert_audit_entry(entry_id, company_id, at, actor_id, actor_name, action, subject, succeeded, detail, source, address)!
INSERT INTO audit_entries (id, company_id, at, actor_id, actor_name, action, subject, succeeded,
                           detail, source, address)
VALUES (:entry_id, :company_id, :at, :actor_id, :actor_name, :action, :subject, :succeeded,
        :detail, :source, :address)
ON CONFLICT (id) DO NOTHING;

-- name: list_audit_entries(company_id, before, before_id, limit)
SELECT * FROM audit_entries
 WHERE company_id = :company_id AND (at, id) < (:before, :before_id)
 ORDER BY at DESC, id DESC
 LIMIT :limit;

-- name: count_audit_entries(company_id)^
SELECT count(*) FROM audit_entries WHERE company_id = :company_id;

-- name: prune_audit_entries(before, limit)<!
DELETE FROM audit_entries
 WHERE id IN (SELECT id FROM audit_entries WHERE at < :before ORDER BY at, id LIMIT :limit)
RETURNING id;
