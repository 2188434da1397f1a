-- How good each photo is, how much it counts (0: an outlier), and a log from which running processes learn what changed.
ALTER TABLE photos ADD COLUMN quality REAL NOT NULL DEFAULT 1.0;
ALTER TABLE photos ADD COLUMN weight REAL NOT NULL DEFAULT 1.0;
CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, photo_id INTEGER, person_id TEXT);
CREATE TRIGGER photo_added AFTER INSERT ON photos
BEGIN
    INSERT INTO changes (photo_id) VALUES (new.id);
END;
CREATE TRIGGER photo_changed AFTER UPDATE ON photos
BEGIN
    INSERT INTO changes (photo_id) VALUES (new.id);
END;
CREATE TRIGGER photo_gone AFTER DELETE ON photos
BEGIN
    INSERT INTO changes (photo_id) VALUES (old.id);
END;
CREATE TRIGGER person_renamed AFTER UPDATE OF name ON people
BEGIN
    INSERT INTO changes (person_id) VALUES (new.id);
END;
