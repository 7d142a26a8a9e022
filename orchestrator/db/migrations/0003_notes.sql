-- What users' own jobs keep from one run to the next.
CREATE TABLE notes (
    job      text NOT NULL,
    key      text NOT NULL,
    value    jsonb NOT NULL,
    saved_at timestamptz NOT NULL,
    PRIMARY KEY (job, key)
);
