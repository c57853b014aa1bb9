-- What a callback carries besides, sealed with the master key: it is often a secret of the receiver's.
ALTER TABLE callbacks ADD COLUMN headers BYTEA;
