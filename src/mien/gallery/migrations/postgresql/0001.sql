-- People, and the descriptors of their photos with quality (0-1) and weight (how much a photo counts; 0: an outlier).
CREATE TABLE about (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE photos (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL,
    embedding vector({size}) NOT NULL,
    quality REAL NOT NULL DEFAULT 1.0,
    weight REAL NOT NULL DEFAULT 1.0,
    created TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (person_id, sha256)
);
-- Descriptors in line and not compressed: they are read on every search.
ALTER TABLE photos ALTER COLUMN embedding SET STORAGE PLAIN;
