-- The jobs. Databases of before this file was numbered have the table already.
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    options TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    total INTEGER,
    faces INTEGER NOT NULL,
    problem TEXT,
    created FLOAT NOT NULL,
    started FLOAT,
    finished FLOAT,
    PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS ix_jobs_owner ON jobs (owner);
CREATE INDEX IF NOT EXISTS ix_jobs_state ON jobs (state);
