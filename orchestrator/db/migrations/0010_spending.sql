-- What is spent on the language model: a row a day, which each reservation moves, and each call.
CREATE TABLE model_days (
    day       date PRIMARY KEY,   -- UTC
    committed numeric NOT NULL CHECK (committed >= 0)  -- spent, and reserved for calls under way
);

CREATE TABLE model_calls (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day           date NOT NULL REFERENCES model_days,
    operation     text NOT NULL,
    model         text NOT NULL,
    fence         bigint NOT NULL,
    asked_at      timestamptz NOT NULL,
    reserved      numeric NOT NULL CHECK (reserved >= 0),
    jobs          text[] NOT NULL,  -- that ran at the time, the asking one aside
    ended_at      timestamptz,
    outcome       text,             -- done, a kind of failure, or unknown
    cost          numeric CHECK (cost >= 0),
    input_tokens  bigint,
    output_tokens bigint,
    detail        text NOT NULL DEFAULT '',
    CHECK ((ended_at IS NULL) = (outcome IS NULL) AND (ended_at IS NULL) = (cost IS NULL))
);
CREATE INDEX model_calls_open ON model_calls (id) WHERE ended_at IS NULL;
CREATE INDEX model_calls_asked ON model_calls (asked_at);
