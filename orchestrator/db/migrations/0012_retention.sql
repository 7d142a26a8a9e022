-- Old rows are found by their age, whatever table they are in.
CREATE INDEX job_runs_finished ON job_runs (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX job_runs_ending ON job_runs (job, ending, (starts_with(trigger, 'asked by ')), started_at DESC);
CREATE INDEX posts_failed ON posts (state_since, id) WHERE state = 'failed';
CREATE INDEX post_metrics_read ON post_metrics (read_at, post_id);
CREATE INDEX alerts_cleared ON alerts (cleared_at, id) WHERE cleared_at IS NOT NULL;
CREATE INDEX peer_posts_age ON peer_posts (seen_at, site, author, reference);
CREATE INDEX daily_counters_day ON daily_counters (day, account);
CREATE INDEX model_calls_day ON model_calls (day);
DROP INDEX rollups_day;
CREATE INDEX rollups_day ON rollups (day, account, dimension, value);
DROP INDEX attributions_day;
CREATE INDEX attributions_day ON attributions (day, post_id);
