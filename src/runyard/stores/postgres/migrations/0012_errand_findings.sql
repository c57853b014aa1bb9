-- What an errand needs to say and to bring back: a bundle to look into, and what was found in it.

ALTER TABLE errands ADD COLUMN body BYTEA NOT NULL DEFAULT '';
ALTER TABLE errands ADD COLUMN finding BYTEA;
