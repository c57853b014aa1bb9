-- Systems of others that call in by a UUID of their own. `sealed` is the UUID, encrypted under the master
-- key, for answers have to name it. Removed ones stay, since runs name them.
CREATE TABLE systems (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    state TEXT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    last_characters TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    files_from TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by BIGINT,
    address TEXT NOT NULL,
    last_seen_at BIGINT,
    removed_at BIGINT
);
CREATE UNIQUE INDEX systems_by_name ON systems (company_id, name) WHERE removed_at IS NULL;
CREATE INDEX systems_of_company ON systems (company_id, created_at, id);
CREATE INDEX systems_waiting ON systems (company_id) WHERE state = 'request' AND removed_at IS NULL;
