-- What users' programs show: tickets behind signed tokens, API keys; and what tokens are signed with.

CREATE TABLE tickets (
    id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    company_id BIGINT NOT NULL,
    api_key_id BIGINT,
    is_multiple BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_by TEXT
);
CREATE INDEX tickets_of_user ON tickets (user_id, id);
CREATE INDEX tickets_of_key ON tickets (api_key_id) WHERE api_key_id IS NOT NULL;

CREATE TABLE api_keys (
    id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    last_characters TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_keys_of_user ON api_keys (user_id, created_at, id);

-- `sealed` is a private key, encrypted under the master key.
CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);
