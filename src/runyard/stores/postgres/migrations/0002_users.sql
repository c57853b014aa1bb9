-- People, what each may do, the browsers in which they are signed in, and one-time links.

CREATE TABLE users (
    id BIGINT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    home_company_id BIGINT,
    password_hash TEXT,
    date_style TEXT NOT NULL,
    clock_style TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

-- A role in one company, or without one in the whole installation.
CREATE TABLE grants (
    user_id BIGINT NOT NULL,
    company_id BIGINT,
    role TEXT NOT NULL
);
CREATE UNIQUE INDEX grants_of_user ON grants (user_id, coalesce(company_id, 0));

CREATE TABLE logins (
    id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    address TEXT NOT NULL,
    browser TEXT NOT NULL
);
CREATE INDEX logins_of_user ON logins (user_id, created_at, id);

-- Whose user is 0 makes the first user. Using one takes all of that user's away.
CREATE TABLE setup_links (
    digest BYTEA PRIMARY KEY,
    user_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX setup_links_of_user ON setup_links (user_id);
