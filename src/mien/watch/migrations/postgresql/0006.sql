-- What outlives a restart: until when a rule says no more of somebody, when somebody was there who was forgotten (what
-- shows them does not come back), and for how many days visits were last to be kept.
CREATE TABLE watch_silences (
    rule TEXT NOT NULL,
    camera TEXT NOT NULL,
    person TEXT,
    until DOUBLE PRECISION NOT NULL
);
CREATE TABLE watch_forgotten (
    camera TEXT NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    until DOUBLE PRECISION NOT NULL
);
CREATE TABLE watch_keeping (
    days DOUBLE PRECISION NOT NULL
);
