-- Until when a visit may have begun that is of somebody who was forgotten, whose name is not kept but told again by a
-- salted hash: what comes late names them no more.
CREATE TABLE watch_forgotten_names (
    salt TEXT NOT NULL,
    hash TEXT NOT NULL,
    until REAL NOT NULL
);
