-- The posts that changed last are shown twice a second.
CREATE INDEX posts_changed ON posts (state_since DESC, id DESC);
