-- Faces that somebody said are not a person, with a small picture of each ('' where there is none).
CREATE TABLE counter_examples (
    id TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    embedding BLOB NOT NULL,
    thumbnail BLOB NOT NULL,
    created DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (person_id, id)
);
-- A change of neither a photo nor a person: running processes read these few anew.
CREATE TRIGGER counter_example_added AFTER INSERT ON counter_examples
BEGIN
    INSERT INTO changes (photo_id, person_id) VALUES (NULL, NULL);
END;
CREATE TRIGGER counter_example_changed AFTER UPDATE ON counter_examples
BEGIN
    INSERT INTO changes (photo_id, person_id) VALUES (NULL, NULL);
END;
CREATE TRIGGER counter_example_gone AFTER DELETE ON counter_examples
BEGIN
    INSERT INTO changes (photo_id, person_id) VALUES (NULL, NULL);
END;
