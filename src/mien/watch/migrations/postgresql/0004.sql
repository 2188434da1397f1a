-- Who heard of a visit, each with the rule that it was by: they hear of its end also after a kill.
ALTER TABLE watch_visits ADD COLUMN heard TEXT NOT NULL DEFAULT '{}';
