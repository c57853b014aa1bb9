-- What users' programs show: tickets behind signed tokens, API keys; and what tokens are signed with.

CREATE TABLE tickets (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    company_id INTEGER NOT NULL,
    api_key_id INTEGER,
    is_multiple INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    ended_by TEXT
);
CREATE INDEX tickets_of_user ON tickets (user_id, id);
CREATE INDEX tickets_of_key ON tickets (api_key_id) WHERE api_key_id IS NOT NULL;

CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    last_characters TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
);
CREATE INDEX api_keys_of_user ON api_keys (user_id, created_at, id);

-- `sealed` is a private key, encrypted under the master key.
CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
);
