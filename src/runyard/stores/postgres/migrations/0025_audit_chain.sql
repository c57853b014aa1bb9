-- Each entry of the audit log is linked to the one before it: `place` counts them without gaps, `link` is a
-- digest over the entry and the link before. Entries of before were never released, and have no links.
DROP TABLE audit_entries;
CREATE TABLE audit_entries (
    id BIGINT PRIMARY KEY,
    place BIGINT NOT NULL,
    company_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor_id BIGINT,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    succeeded SMALLINT NOT NULL,
    detail TEXT NOT NULL,
    source TEXT NOT NULL,
    address TEXT NOT NULL,
    is_sealed SMALLINT NOT NULL,
    link BYTEA NOT NULL
);
CREATE INDEX audit_of_company ON audit_entries (company_id, at, id);
CREATE INDEX audit_by_place ON audit_entries (place, id);

-- Where the chain ends, and behind which place it begins since older entries were deleted.
CREATE TABLE audit_chain (
    id BIGINT PRIMARY KEY,
    place BIGINT NOT NULL,
    link BYTEA NOT NULL,
    cut_place BIGINT NOT NULL,
    cut_link BYTEA NOT NULL,
    cut_seal BYTEA NOT NULL
);
INSERT INTO audit_chain (id, place, link, cut_place, cut_link, cut_seal)
VALUES (1, 0, '', 0, '', '');
