-- Alerts are listed by whether they are over, too: open ones are few among many, and the newest may all be open.
CREATE INDEX alerts_listed_open ON alerts (raised_at DESC, id DESC) WHERE cleared_at IS NULL;
CREATE INDEX alerts_listed_over ON alerts (raised_at DESC, id DESC) WHERE cleared_at IS NOT NULL;
CREATE INDEX alerts_listed_name_open ON alerts (name, raised_at DESC, id DESC) WHERE cleared_at IS NULL;
CREATE INDEX alerts_listed_name_over ON alerts (name, raised_at DESC, id DESC) WHERE cleared_at IS NOT NULL;
