-- A small JPEG of the face in each photo enrolled from now on, by itself: searches do not read it.
CREATE TABLE pictures (
    photo_id BIGINT NOT NULL PRIMARY KEY REFERENCES photos (id) ON DELETE CASCADE,
    content BYTEA NOT NULL
);
