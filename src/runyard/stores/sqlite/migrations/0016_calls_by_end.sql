-- A list that bounds the ends is in the order of the ends; calls end about as they begin, so that this
-- index grows at its end.
CREATE INDEX calls_by_end ON calls (company_id, finished_at, id);
