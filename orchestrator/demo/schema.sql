CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE authors (
    name             TEXT PRIMARY KEY COLLATE NOCASE,
    display_name     TEXT NOT NULL,
    bio              TEXT NOT NULL,
    base_followers   INTEGER NOT NULL,
    following        INTEGER NOT NULL,
    gained_followers INTEGER NOT NULL DEFAULT 0,
    settled_post     INTEGER NOT NULL DEFAULT 0,
    dropped_posts    INTEGER NOT NULL DEFAULT 0,
    is_account       INTEGER NOT NULL DEFAULT 0,
    password         TEXT             -- scrypt; NULL: can't sign in
) WITHOUT ROWID;

CREATE TABLE posts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    reference   TEXT NOT NULL UNIQUE,
    author      TEXT NOT NULL REFERENCES authors,
    text        TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    followers   INTEGER NOT NULL,
    in_reply_to TEXT              -- reference of the post that it answers
);
CREATE INDEX posts_of_author ON posts (author, id);
CREATE INDEX replies_to ON posts (in_reply_to, id) WHERE in_reply_to IS NOT NULL;

-- The truth that tests compare with: what accounts handed in and the site took, in order.
CREATE TABLE ledger (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    reference   TEXT NOT NULL UNIQUE,
    account     TEXT NOT NULL,
    text        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    in_reply_to TEXT
);
CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_is_never_cut BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES authors,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
