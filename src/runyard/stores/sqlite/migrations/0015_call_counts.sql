-- How many calls a company has executed in a calendar month (202603), where that is limited.
CREATE TABLE call_counts (
    company_id INTEGER NOT NULL,
    month INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (company_id, month)
);
