-- Who has changed what, or signed in, and from where. Company 0 is the whole installation.
CREATE TABLE audit_entries (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor_id INTEGER,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    succeeded INTEGER NOT NULL,
    detail TEXT NOT NULL,
    source TEXT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX audit_of_company ON audit_entries (company_id, at, id);
CREATE INDEX audit_by_age ON audit_entries (at, id);
