-- Workers on other machines: tokens that let them in at once, connections that are resumed.

ALTER TABLE tokens ADD COLUMN joins INTEGER NOT NULL DEFAULT 0;

ALTER TABLE workers ADD COLUMN isolation TEXT NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN busy INTEGER NOT NULL DEFAULT 0;

-- SHA-256 of the key with which a worker resumes, and the session that took a closed one's runs over.
ALTER TABLE sessions ADD COLUMN resume_digest BLOB;
ALTER TABLE sessions ADD COLUMN successor_id INTEGER;
CREATE INDEX sessions_of_worker ON sessions (worker_id) WHERE closed_at IS NULL;
