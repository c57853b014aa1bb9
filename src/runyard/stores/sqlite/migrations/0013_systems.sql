-- Systems of others that call in by a UUID of their own. `sealed` is the UUID, encrypted under the master
-- key, for answers have to name it. Removed ones stay, since runs name them.
CREATE TABLE systems (
    id INTEGER PRIMARY KEY,
    company_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    state TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    last_characters TEXT NOT NULL,
    sealed BLOB NOT NULL,
    files_from TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by INTEGER,
    address TEXT NOT NULL,
    last_seen_at INTEGER,
    removed_at INTEGER
);
CREATE UNIQUE INDEX systems_by_name ON systems (company_id, name) WHERE removed_at IS NULL;
CREATE INDEX systems_of_company ON systems (company_id, created_at, id);
CREATE INDEX systems_waiting ON systems (company_id) WHERE state = 'request' AND removed_at IS NULL;
