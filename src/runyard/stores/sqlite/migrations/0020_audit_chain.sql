-- Each entry of the audit log is linked to the one before it: `place` counts them without gaps, `link` is a
-- digest over the entry and the link before. Entries of before were never released, and have no links.
DROP TABLE audit_entries;
CREATE TABLE audit_entries (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    company_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor_id INTEGER,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    succeeded INTEGER NOT NULL,
    detail TEXT NOT NULL,
    source TEXT NOT NULL,
    address TEXT NOT NULL,
    is_sealed INTEGER NOT NULL,
    link BLOB NOT NULL
);
CREATE INDEX audit_of_company ON audit_entries (company_id, at, id);
CREATE INDEX audit_by_place ON audit_entries (place, id);

-- Where the chain ends, and behind which place it begins since older entries were deleted.
CREATE TABLE audit_chain (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    link BLOB NOT NULL,
    cut_place INTEGER NOT NULL,
    cut_link BLOB NOT NULL,
    cut_seal BLOB NOT NULL
);
INSERT INTO audit_chain (id, place, link, cut_place, cut_link, cut_seal)
VALUES (1, 0, x'', 0, x'', x'');
