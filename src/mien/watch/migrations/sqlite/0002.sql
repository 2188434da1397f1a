-- Rules that were added in the page or over HTTP.
CREATE TABLE watch_rules (
    id TEXT NOT NULL PRIMARY KEY,
    said TEXT NOT NULL
);
