-- Clips of the seconds around a visit's beginning, where these were to be kept.
CREATE TABLE watch_clips (
    visit_id TEXT NOT NULL PRIMARY KEY REFERENCES watch_visits (id) ON DELETE CASCADE,
    content BYTEA NOT NULL
);
