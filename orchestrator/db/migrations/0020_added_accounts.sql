-- Accounts that were added while the daemon ran; those of the settings are not here.
CREATE TABLE added_accounts (
    name       text PRIMARY KEY,
    site       text NOT NULL,
    username   text NOT NULL,
    password   bytea NOT NULL,     -- encrypted
    options    jsonb NOT NULL,     -- its other settings
    added_by   text NOT NULL,
    added_at   timestamptz NOT NULL,
    removed_by text                -- it goes as soon as nothing of it is under way
);

-- Accounts, also of the settings, that people have switched off.
CREATE TABLE disabled_accounts (
    account     text PRIMARY KEY,
    disabled_by text NOT NULL,
    disabled_at timestamptz NOT NULL
);
