-- Breakers that operators have forced, as they hold across restarts.
CREATE TABLE breaker_orders (
    breaker    text PRIMARY KEY,
    forced     text NOT NULL CHECK (forced IN ('open', 'close')),
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL
);
