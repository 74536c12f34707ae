-- Which server an account is served by. A file has one server, so here `nodes` stays empty and any
-- owner may be followed by the next.

CREATE TABLE nodes (
    id         TEXT    NOT NULL PRIMARY KEY,
    address    TEXT    NOT NULL UNIQUE, -- where other nodes reach it; empty: a server that is alone
    expires_at INTEGER NOT NULL,        -- by the database's clock
    process    TEXT    NOT NULL DEFAULT '' -- identity of the process on its machine
) STRICT;

ALTER TABLE accounts ADD COLUMN owner TEXT;
