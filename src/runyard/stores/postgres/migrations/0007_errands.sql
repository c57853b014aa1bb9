-- What a server asks of the one whose worker holds a run, and the answer. Rows live for moments.

CREATE TABLE errands (
    id BIGINT PRIMARY KEY,
    session_id BIGINT NOT NULL,
    verb TEXT NOT NULL,
    company_id BIGINT NOT NULL,
    run_id BIGINT NOT NULL,
    token BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    answer TEXT
);
CREATE INDEX errands_unanswered ON errands (session_id, id) WHERE answer IS NULL;
