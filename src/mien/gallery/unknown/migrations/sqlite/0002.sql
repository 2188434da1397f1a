-- The visit that a camera saw a face in, so that whoever names the face names the visit.
ALTER TABLE unknown_faces ADD COLUMN visit TEXT NOT NULL DEFAULT '';
CREATE INDEX ix_unknown_faces_visit ON unknown_faces (visit);
