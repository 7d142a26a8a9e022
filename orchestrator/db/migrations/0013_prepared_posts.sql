-- Posts that are kept for the time when the language model is out.
CREATE TABLE prepared_posts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text        text NOT NULL,
    fingerprint text NOT NULL UNIQUE,
    topic       text NOT NULL,
    format      text NOT NULL,
    source      text NOT NULL,
    made_at     timestamptz NOT NULL
);
