-- What is known of each account.
CREATE TABLE account_states (
    account      text PRIMARY KEY,
    signed_in_at timestamptz,    -- the latest sign-in that the site took
    visited_at   timestamptz
);

-- Points that troubles have taken from an account's health, as of a moment; they wear off from then on.
CREATE TABLE account_troubles (
    account text NOT NULL,
    kind    text NOT NULL CHECK (kind IN ('refused', 'rate_limited', 'ambiguous', 'failed')),
    points  double precision NOT NULL CHECK (points >= 0),
    at      timestamptz NOT NULL,
    said    text NOT NULL,
    PRIMARY KEY (account, kind)
);

-- What accounts' own pages said of them.
CREATE TABLE account_figures (
    account   text NOT NULL,
    read_at   timestamptz NOT NULL,
    followers bigint NOT NULL,
    following bigint NOT NULL,
    posts     bigint NOT NULL,
    PRIMARY KEY (account, read_at)
);

ALTER TABLE daily_counters
    ALTER COLUMN posts SET DEFAULT 0,
    ADD COLUMN sign_ins integer NOT NULL DEFAULT 0 CHECK (sign_ins >= 0),
    ADD COLUMN visits integer NOT NULL DEFAULT 0 CHECK (visits >= 0);
