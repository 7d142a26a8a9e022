-- What each settled post was made of and what it has reached: one row a post, written once.
CREATE TABLE attributions (
    post_id       bigint PRIMARY KEY REFERENCES posts ON DELETE CASCADE,
    account       text NOT NULL,
    day           date NOT NULL,      -- of its publication, in the account's zone
    hour          smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    topic         text NOT NULL,
    format        text NOT NULL,
    opening       text NOT NULL,
    length        text NOT NULL,
    likes         bigint NOT NULL,
    replies       bigint NOT NULL,
    views         bigint NOT NULL,
    score         double precision NOT NULL CHECK (score BETWEEN 0 AND 1),
    attributed_at timestamptz NOT NULL
);
CREATE INDEX attributions_recent ON attributions (account, attributed_at DESC, post_id DESC);
CREATE INDEX attributions_day ON attributions (day);
ALTER TABLE posts ADD COLUMN attributed_at timestamptz;
CREATE INDEX posts_unattributed ON posts (published_at) WHERE state = 'published' AND attributed_at IS NULL;

-- The same as sums: of each account and day, the posts with each topic, format, hour, opening and length.
CREATE TABLE rollups (
    account   text NOT NULL,
    day       date NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('topic', 'format', 'hour', 'opening', 'length')),
    value     text NOT NULL,
    posts     bigint NOT NULL,
    likes     bigint NOT NULL,
    replies   bigint NOT NULL,
    views     bigint NOT NULL,
    score     double precision NOT NULL,
    squares   double precision NOT NULL,  -- of the scores
    PRIMARY KEY (account, day, dimension, value)
);
CREATE INDEX rollups_day ON rollups (day);

-- What was found of them, in words.
CREATE TABLE findings (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL,
    site          text NOT NULL,
    account       text NOT NULL,      -- empty: all accounts of the site
    subject       text NOT NULL,
    statement     text NOT NULL,
    effect        double precision NOT NULL,
    low           double precision NOT NULL,
    high          double precision NOT NULL,
    posts         bigint NOT NULL,
    since         timestamptz NOT NULL,
    looked_at     timestamptz NOT NULL,
    superseded_at timestamptz
);
CREATE UNIQUE INDEX findings_standing ON findings (site, account, kind, subject) WHERE superseded_at IS NULL;
CREATE INDEX findings_superseded ON findings (superseded_at) WHERE superseded_at IS NOT NULL;
