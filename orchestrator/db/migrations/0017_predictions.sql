-- What each model in use said of a post before it went out.
CREATE TABLE predictions (
    post_id   bigint NOT NULL REFERENCES posts ON DELETE CASCADE,
    version   bigint NOT NULL REFERENCES models ON DELETE CASCADE,
    predicted double precision NOT NULL CHECK (predicted BETWEEN 0 AND 1),
    chose     boolean NOT NULL,              -- by it the text was chosen among several
    PRIMARY KEY (post_id, version)
);
CREATE INDEX predictions_version ON predictions (version, post_id DESC);
