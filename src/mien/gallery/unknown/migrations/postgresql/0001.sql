-- Faces nobody owns, their small pictures, and what was done with them, for taking it back. Databases of before this
-- file was numbered have these tables already.
CREATE TABLE IF NOT EXISTS unknown_actions (
    number SERIAL NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    expires DOUBLE PRECISION NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE IF NOT EXISTS unknown_faces (
    id SERIAL NOT NULL,
    embedder TEXT NOT NULL,
    photo TEXT NOT NULL,
    source TEXT NOT NULL,
    seen DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION NOT NULL,
    quality DOUBLE PRECISION NOT NULL,
    embedding BYTEA NOT NULL,
    group_id TEXT NOT NULL,
    pin TEXT NOT NULL,
    named TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS ix_unknown_faces_expires ON unknown_faces (expires);
CREATE INDEX IF NOT EXISTS ix_unknown_faces_group_id ON unknown_faces (group_id);
CREATE INDEX IF NOT EXISTS ix_unknown_faces_photo ON unknown_faces (photo);
CREATE TABLE IF NOT EXISTS unknown_pictures (
    face_id INTEGER NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (face_id),
    FOREIGN KEY(face_id) REFERENCES unknown_faces (id) ON DELETE CASCADE
);
