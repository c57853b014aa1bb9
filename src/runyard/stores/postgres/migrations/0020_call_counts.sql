-- How many calls a company has executed in a calendar month (202603), where that is limited.
CREATE TABLE call_counts (
    company_id BIGINT NOT NULL,
    month INTEGER NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (company_id, month)
);
