-- The audit log: read in the order of time, linked in the order in which entries were written.

-- name: begin_audit_chain(nothing)!
-- Where somebody has deleted the row: the log goes on, and is found broken.
INSERT INTO audit_chain (id, place, link, cut_place, cut_link, cut_seal)
VALUES (1, 0, :nothing, 0, :nothing, :nothing)
ON CONFLICT (id) DO NOTHING;

-- name: extend_audit_chain(after, place, link)<!
-- Guard: nobody else has written to the log meanwhile.
UPDATE audit_chain SET place = :place, link = :link WHERE id = 1 AND place = :after RETURNING place;

-- name: insert_audit_entry(entry_id, place, company_id, at, actor_id, actor_name, action, subject, succeeded, detail, source, address, is_sealed, link)!
INSERT INTO audit_entries (id, place, company_id, at, actor_id, actor_name, action, subject,
                           succeeded, detail, source, address, is_sealed, link)
VALUES (:entry_id, :place, :company_id, :at, :actor_id, :actor_name, :action, :subject,
        :succeeded, :detail, :source, :address, :is_sealed, :link);

-- name: list_audit_entries(company_id, before, before_id, limit)
SELECT * FROM audit_entries
 WHERE company_id = :company_id AND (at, id) < (:before, :before_id)
 ORDER BY at DESC, id DESC
 LIMIT :limit;

-- name: count_audit_entries(company_id)^
SELECT count(*) FROM audit_entries WHERE company_id = :company_id;

-- name: audit_chain()^
SELECT place, link, cut_place, cut_link, cut_seal FROM audit_chain WHERE id = 1;

-- name: chained_audit_entries(after, after_id, limit)
SELECT * FROM audit_entries
 WHERE (place, id) > (:after, :after_id)
 ORDER BY place, id
 LIMIT :limit;

-- name: cut_audit_chain(before, place, link, seal)<!
-- Guard: nobody else has cut it meanwhile.
UPDATE audit_chain SET cut_place = :place, cut_link = :link, cut_seal = :seal
 WHERE id = 1 AND cut_place = :before
RETURNING cut_place;

-- name: prune_audit_entries(place)!
DELETE FROM audit_entries WHERE place <= :place;
