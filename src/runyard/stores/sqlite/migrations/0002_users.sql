-- People, what each may do, the browsers in which they are signed in, and one-time links.

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    home_company_id INTEGER,
    password_hash TEXT,
    date_style TEXT NOT NULL,
    clock_style TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
);

-- A role in one company, or without one in the whole installation.
CREATE TABLE grants (
    user_id INTEGER NOT NULL,
    company_id INTEGER,
    role TEXT NOT NULL
);
CREATE UNIQUE INDEX grants_of_user ON grants (user_id, coalesce(company_id, 0));

CREATE TABLE logins (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    address TEXT NOT NULL,
    browser TEXT NOT NULL
);
CREATE INDEX logins_of_user ON logins (user_id, created_at, id);

-- Whose user is 0 makes the first user. Using one takes all of that user's away.
CREATE TABLE setup_links (
    digest BLOB NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX setup_links_of_user ON setup_links (user_id);
