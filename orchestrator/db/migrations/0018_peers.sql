-- People whose posts are worth reading, as account_discovery has found them.
CREATE TABLE peers (
    site         text NOT NULL,
    username     text NOT NULL,
    topic        text NOT NULL,              -- ours, that they write on
    score        double precision NOT NULL,  -- docs/jobs.md has the formula
    found_at     timestamptz NOT NULL,
    useful_at    timestamptz NOT NULL,       -- when a list showed a post of theirs on a topic of ours last
    last_read_at timestamptz,                -- their own list
    PRIMARY KEY (site, username)
);
CREATE INDEX peers_best ON peers (site, score DESC);
CREATE INDEX peers_useful ON peers (site, useful_at DESC);
