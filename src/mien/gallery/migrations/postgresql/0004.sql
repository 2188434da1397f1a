-- A log from which running processes learn what changed. A row of nothing says: the counter-examples did.
-- (OR REPLACE: a plain CREATE TRIGGER would be read to the END that SQLite's have.)
-- Transactions end in another order than they begin in, so it is read by their numbers, not by the rows'.
CREATE TABLE changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
    photo_id BIGINT,
    person_id TEXT
);
CREATE INDEX ix_changes_xid ON changes (xid);
INSERT INTO changes DEFAULT VALUES;
CREATE OR REPLACE FUNCTION log_photos() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS '
BEGIN
    INSERT INTO changes (photo_id) SELECT id FROM touched;
    RETURN NULL;
END';
CREATE OR REPLACE FUNCTION log_person() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS '
BEGIN
    INSERT INTO changes (person_id) VALUES (new.id);
    RETURN NULL;
END';
CREATE OR REPLACE FUNCTION log_counter_examples() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS '
BEGIN
    INSERT INTO changes DEFAULT VALUES;
    RETURN NULL;
END';
CREATE OR REPLACE TRIGGER photos_added AFTER INSERT ON photos
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION log_photos();
CREATE OR REPLACE TRIGGER photos_changed AFTER UPDATE ON photos
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION log_photos();
CREATE OR REPLACE TRIGGER photos_gone AFTER DELETE ON photos
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION log_photos();
CREATE OR REPLACE TRIGGER person_renamed AFTER UPDATE OF name ON people
    FOR EACH ROW EXECUTE FUNCTION log_person();
CREATE OR REPLACE TRIGGER counter_examples_changed AFTER INSERT OR UPDATE OR DELETE ON counter_examples
    FOR EACH STATEMENT EXECUTE FUNCTION log_counter_examples();
