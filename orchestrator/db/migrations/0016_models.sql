-- What predicts a post's outcome: each version with what it was learned from, and what became of it.
CREATE TABLE models (
    version     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope       text NOT NULL,               -- the site: its audience is what is learned
    kind        text NOT NULL,
    trained_at  timestamptz NOT NULL,
    from_at     timestamptz NOT NULL,        -- extent of the posts, by their publication
    to_at       timestamptz NOT NULL,
    posts       integer NOT NULL,
    error       double precision NOT NULL,   -- mean squared error on posts that were held out
    mean_error  double precision NOT NULL,   -- of always saying the mean, on the same posts
    parameters  jsonb NOT NULL,
    state       text NOT NULL CHECK (state IN ('candidate', 'serving', 'retired', 'rolled_back')),
    state_since timestamptz NOT NULL,
    predecessor bigint REFERENCES models ON DELETE SET NULL,  -- what served before it
    why         text NOT NULL
);
CREATE UNIQUE INDEX models_in_use ON models (scope, state) WHERE state IN ('candidate', 'serving');
CREATE INDEX models_recent ON models (scope, version DESC);
CREATE INDEX models_ended ON models (state_since) WHERE state IN ('retired', 'rolled_back');
CREATE INDEX models_predecessor ON models (predecessor);
