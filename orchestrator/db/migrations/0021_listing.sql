-- Lists are read a page at a time, newest first, from wherever the last page ended; each filter has its index.
CREATE INDEX posts_listed_state ON posts (state, id DESC);
CREATE INDEX posts_listed_account ON posts (account, state, id DESC);
CREATE INDEX posts_replies ON posts (id DESC) WHERE in_reply_to IS NOT NULL;
CREATE INDEX posts_replies_account ON posts (account, id DESC) WHERE in_reply_to IS NOT NULL;
CREATE INDEX posts_replies_state ON posts (state, id DESC) WHERE in_reply_to IS NOT NULL;
CREATE INDEX posts_replies_both ON posts (account, state, id DESC) WHERE in_reply_to IS NOT NULL;
CREATE INDEX job_runs_listed ON job_runs (job, id DESC);
CREATE INDEX job_runs_listed_ending ON job_runs (ending, id DESC);
CREATE INDEX job_runs_listed_both ON job_runs (job, ending, id DESC);
CREATE INDEX alerts_listed ON alerts (raised_at DESC, id DESC);
CREATE INDEX alerts_listed_name ON alerts (name, raised_at DESC, id DESC);
