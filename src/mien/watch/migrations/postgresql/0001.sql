-- Visits, the pictures that were to be kept of them, what is still to be told of them, cameras that were added.
CREATE TABLE watch_visits (
    id TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    camera TEXT NOT NULL,
    zone TEXT NOT NULL,
    begins DOUBLE PRECISION NOT NULL,
    ends DOUBLE PRECISION,
    seen DOUBLE PRECISION NOT NULL,
    who TEXT NOT NULL,
    person TEXT,
    told TEXT NOT NULL
);
CREATE UNIQUE INDEX ix_watch_visits_number ON watch_visits (number);
CREATE INDEX ix_watch_visits_begins ON watch_visits (begins);
CREATE INDEX ix_watch_visits_person ON watch_visits (person);
CREATE TABLE watch_pictures (
    visit_id TEXT NOT NULL REFERENCES watch_visits (id) ON DELETE CASCADE,
    at DOUBLE PRECISION NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (visit_id, at)
);
CREATE TABLE watch_queue (
    number BIGSERIAL PRIMARY KEY,
    target TEXT NOT NULL,
    visit_id TEXT NOT NULL,
    person TEXT,
    body TEXT NOT NULL,
    due DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION NOT NULL,
    tries INTEGER NOT NULL
);
CREATE INDEX ix_watch_queue_due ON watch_queue (due);
CREATE TABLE watch_cameras (
    id TEXT NOT NULL PRIMARY KEY,
    said TEXT NOT NULL
);
CREATE TABLE watch_counter (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO watch_counter (name, value) VALUES ('visits', 0);
