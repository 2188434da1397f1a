-- Whether somebody said who it was: what a camera still says of the visit does not change that.
ALTER TABLE watch_visits ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0;
