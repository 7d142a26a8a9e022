-- A post that was put back waits until this moment; due_at stays what was planned.
ALTER TABLE posts ADD COLUMN not_before timestamptz;
DROP INDEX posts_due;
CREATE INDEX posts_due ON posts (greatest(due_at, not_before), id) WHERE state = 'queued';
