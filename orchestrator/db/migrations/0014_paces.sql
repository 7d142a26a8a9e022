-- How often each account posts, as it was judged last.
CREATE TABLE paces (
    account   text PRIMARY KEY,
    per_hour  double precision NOT NULL CHECK (per_hour > 0),
    why       text NOT NULL,
    judged_at timestamptz NOT NULL
);
CREATE INDEX posts_published ON posts (account, published_at DESC) WHERE state = 'published';
CREATE INDEX posts_waiting ON posts (account) WHERE state IN ('queued', 'claimed', 'submitting');
CREATE INDEX posts_came_to_nothing ON posts (account, state_since) WHERE state IN ('failed', 'ambiguous');
