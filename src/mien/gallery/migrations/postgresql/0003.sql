-- Faces that somebody said are not a person, with a small picture of each ('' where there is none).
CREATE TABLE counter_examples (
    id TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    embedding vector({size}) NOT NULL,
    thumbnail BYTEA NOT NULL,
    created TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, id)
);
