-- A reply is a post that answers another one, named by the site's reference.
ALTER TABLE posts ADD COLUMN in_reply_to text;
DROP INDEX posts_text;
CREATE UNIQUE INDEX posts_text ON posts (account, fingerprint) WHERE state <> 'failed' AND in_reply_to IS NULL;
-- One account answers one post once: that is also how a reply is recognised.
CREATE UNIQUE INDEX posts_target ON posts (account, in_reply_to) WHERE state <> 'failed' AND in_reply_to IS NOT NULL;
ALTER TABLE daily_counters ADD COLUMN replies integer NOT NULL DEFAULT 0 CHECK (replies >= 0);
ALTER TABLE posts DROP CONSTRAINT posts_decision_check;
ALTER TABLE posts ADD CONSTRAINT posts_decision_check
    CHECK (decision IN ('published', 'requeue', 'drop', 'approve', 'reject'));
