-- Log lines stand in a file and with a writer of their own: a flood of lines never delays a run.
-- `top_level` is the highest level in the chunk, so that a reader of errors skips the others.

CREATE TABLE log_chunks (
    run_id INTEGER NOT NULL,
    first_line INTEGER NOT NULL,
    company_id INTEGER NOT NULL,
    line_count INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    top_level INTEGER NOT NULL,
    is_packed INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run_id, first_line)
);
