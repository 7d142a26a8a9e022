-- Posts of others that a reply of ours would suit.
CREATE TABLE opportunities (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site        text NOT NULL,
    reference   text NOT NULL,            -- the site's own name of the post
    author      text NOT NULL,
    text        text NOT NULL,
    posted_at   timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,     -- the first look
    likes       bigint,                   -- null where the list shows none, as of the next two
    replies     bigint,
    views       bigint,
    relevance   double precision NOT NULL CHECK (relevance BETWEEN 0 AND 1),
    topic       text NOT NULL,
    state       text NOT NULL CHECK (state IN ('open', 'drafted', 'answered', 'passed', 'stale')),
    state_since timestamptz NOT NULL,
    why         text NOT NULL,            -- of the score while open, else of the state
    reply       bigint,                   -- ours, in posts
    UNIQUE (site, reference)
);
CREATE INDEX opportunities_open ON opportunities (site, relevance DESC, id) WHERE state = 'open';
CREATE INDEX opportunities_replied ON opportunities (site, state_since) WHERE state IN ('drafted', 'answered');
CREATE INDEX opportunities_author ON opportunities (site, author, state_since)
    WHERE state IN ('drafted', 'answered');
CREATE INDEX opportunities_over ON opportunities (state_since) WHERE state IN ('answered', 'passed', 'stale');
