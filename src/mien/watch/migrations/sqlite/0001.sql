-- Visits, the pictures that were to be kept of them, what is still to be told of them, cameras that were added.
CREATE TABLE watch_visits (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    camera TEXT NOT NULL,
    zone TEXT NOT NULL,
    begins REAL NOT NULL,
    ends REAL,
    seen REAL NOT NULL,
    who TEXT NOT NULL,
    person TEXT,
    told TEXT NOT NULL
);
CREATE UNIQUE INDEX ix_watch_visits_number ON watch_visits (number);
CREATE INDEX ix_watch_visits_begins ON watch_visits (begins);
CREATE INDEX ix_watch_visits_person ON watch_visits (person);
CREATE TABLE watch_pictures (
    visit_id TEXT NOT NULL REFERENCES watch_visits (id) ON DELETE CASCADE,
    at REAL NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (visit_id, at)
);
CREATE TABLE watch_queue (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    visit_id TEXT NOT NULL,
    person TEXT,
    body TEXT NOT NULL,
    due REAL NOT NULL,
    expires REAL NOT NULL,
    tries INTEGER NOT NULL
);
CREATE INDEX ix_watch_queue_due ON watch_queue (due);
CREATE TABLE watch_cameras (
    id TEXT NOT NULL PRIMARY KEY,
    said TEXT NOT NULL
);
CREATE TABLE watch_counter (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO watch_counter (name, value) VALUES ('visits', 0);
