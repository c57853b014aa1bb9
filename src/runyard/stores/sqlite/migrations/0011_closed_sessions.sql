-- So that sessions which were closed long ago are found and forgotten.

CREATE INDEX sessions_closed ON sessions (closed_at) WHERE closed_at IS NOT NULL;
