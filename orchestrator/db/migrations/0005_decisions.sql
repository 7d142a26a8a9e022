-- What a person has decided of a post that was ambiguous, who, and when.
ALTER TABLE posts
    ADD COLUMN decision   text CHECK (decision IN ('published', 'requeue', 'drop')),
    ADD COLUMN decided_by text,
    ADD COLUMN decided_at timestamptz;
