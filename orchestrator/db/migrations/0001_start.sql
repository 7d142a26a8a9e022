-- All moments are given by the program, whose wall clock may be faster than the server's. (The table
-- daemon_lease is older than all migrations: db/lease.py makes it, since who may migrate depends on it.)

CREATE TABLE posts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account       text NOT NULL,
    text          text NOT NULL,
    fingerprint   text NOT NULL,
    state         text NOT NULL CHECK (state IN
        ('draft', 'queued', 'claimed', 'submitting', 'published', 'ambiguous', 'failed')),
    topic         text NOT NULL,
    format        text NOT NULL,
    hour          smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    source        text NOT NULL,
    due_at        timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    state_since   timestamptz NOT NULL,
    attempt       integer NOT NULL DEFAULT 0,
    fence         bigint NOT NULL,
    submitted_at  timestamptz,
    counted_on    date,          -- the day whose counter holds this attempt; null when none does
    missed_at     timestamptz,   -- an ambiguous post was not found on the site at this moment
    published_at  timestamptz,
    reference     text,
    measured_at   timestamptz,
    learned_at    timestamptz,
    detail        text NOT NULL DEFAULT '',
    CHECK ((state = 'published') = (reference IS NOT NULL)),
    CHECK ((state = 'published') = (published_at IS NOT NULL))
);
-- The same text is never twice on its way for one account: that is how a post is recognised.
CREATE UNIQUE INDEX posts_text ON posts (account, fingerprint) WHERE state <> 'failed';
CREATE UNIQUE INDEX posts_reference ON posts (account, reference) WHERE reference IS NOT NULL;
CREATE INDEX posts_due ON posts (due_at) WHERE state = 'queued';
CREATE INDEX posts_unsettled ON posts (state, state_since) WHERE state IN ('claimed', 'submitting', 'ambiguous');
CREATE INDEX posts_unmeasured ON posts (published_at) WHERE state = 'published' AND measured_at IS NULL;
CREATE INDEX posts_measured ON posts (measured_at) WHERE state = 'published' AND measured_at IS NOT NULL;
CREATE INDEX posts_unlearned ON posts (published_at) WHERE state = 'published' AND learned_at IS NULL;
CREATE INDEX posts_recent ON posts (account, id DESC);

CREATE TABLE post_metrics (
    post_id bigint NOT NULL REFERENCES posts ON DELETE CASCADE,
    read_at timestamptz NOT NULL,
    likes   bigint NOT NULL,
    replies bigint NOT NULL,
    views   bigint NOT NULL,
    PRIMARY KEY (post_id, read_at)
);

CREATE TABLE daily_counters (
    account text NOT NULL,
    day     date NOT NULL,
    posts   integer NOT NULL CHECK (posts >= 0),
    PRIMARY KEY (account, day)
);

CREATE TABLE arms (
    scope     text NOT NULL,     -- the site: its audience is what is learned
    dimension text NOT NULL CHECK (dimension IN ('topic', 'format', 'hour')),
    value     text NOT NULL,
    alpha     double precision NOT NULL,
    beta      double precision NOT NULL,
    PRIMARY KEY (scope, dimension, value)
);

CREATE TABLE outcomes (
    post_id    bigint PRIMARY KEY REFERENCES posts ON DELETE CASCADE,
    scope      text NOT NULL,
    reward     double precision NOT NULL CHECK (reward BETWEEN 0 AND 1),
    likes      bigint NOT NULL,
    replies    bigint NOT NULL,
    views      bigint NOT NULL,
    learned_at timestamptz NOT NULL
);
CREATE INDEX outcomes_recent ON outcomes (scope, learned_at DESC);

CREATE TABLE job_runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job         text NOT NULL,
    trigger     text NOT NULL,
    attempt     integer NOT NULL,
    fence       bigint NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    ending      text CHECK (ending IN
        ('done', 'nothing_to_do', 'retry', 'given_up', 'over_budget', 'skipped', 'interrupted')),
    detail      text NOT NULL DEFAULT '',
    figures     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX job_runs_job ON job_runs (job, started_at DESC);
CREATE INDEX job_runs_open ON job_runs (id) WHERE finished_at IS NULL;

CREATE TABLE paused_jobs (
    job       text PRIMARY KEY,  -- '*' for all
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL
);

CREATE TABLE sessions (
    account  text PRIMARY KEY,
    state    bytea NOT NULL,     -- encrypted
    saved_at timestamptz NOT NULL
);
