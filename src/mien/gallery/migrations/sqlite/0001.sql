-- People, and the descriptors of their photos (little-endian float32).
CREATE TABLE about (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE photos (
    id INTEGER NOT NULL PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL,
    embedding BLOB NOT NULL,
    created DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (person_id, sha256)
);
CREATE INDEX ix_photos_person_id ON photos (person_id);
