-- What others have posted, as their public pages showed it last; ours are compared with it.
CREATE TABLE peer_posts (
    site      text NOT NULL,
    author    text NOT NULL,
    reference text NOT NULL,
    text      text NOT NULL,
    likes     bigint NOT NULL,
    replies   bigint NOT NULL,
    views     bigint,                 -- null where the site shows none
    posted_at timestamptz,            -- null where the site does not say
    seen_at   timestamptz NOT NULL,   -- the last look
    PRIMARY KEY (site, author, reference)
);
CREATE INDEX peer_posts_seen ON peer_posts (site, seen_at DESC);
