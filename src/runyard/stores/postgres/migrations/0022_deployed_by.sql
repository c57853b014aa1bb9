-- Who deployed a version; null where that was not written down yet.
ALTER TABLE versions ADD COLUMN deployed_by BIGINT;
