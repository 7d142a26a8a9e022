-- What is or was wrong and has to be told, and how far each destination has been told.
CREATE TABLE alerts (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    subject    text NOT NULL,
    severity   text NOT NULL CHECK (severity IN ('warning', 'critical')),
    what       text NOT NULL,
    remedy     text NOT NULL,
    since      timestamptz NOT NULL,
    raised_at  timestamptz NOT NULL,
    cleared_at timestamptz
);

CREATE UNIQUE INDEX alerts_current ON alerts (name, subject) WHERE cleared_at IS NULL;

CREATE TABLE alert_deliveries (
    alert       text NOT NULL REFERENCES alerts ON DELETE CASCADE,
    destination text NOT NULL,
    told        integer NOT NULL,
    told_at     timestamptz,
    over_at     timestamptz,
    tries       integer NOT NULL,
    next_try_at timestamptz,
    PRIMARY KEY (alert, destination)
);

CREATE INDEX alert_deliveries_open ON alert_deliveries (alert) WHERE over_at IS NULL;
