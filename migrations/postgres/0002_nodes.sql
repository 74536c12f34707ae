-- Which server an account is served by. A node whose row is gone is gone for good: it comes back
-- under another id.

CREATE TABLE nodes (
    id         ctext  NOT NULL PRIMARY KEY,
    address    ctext  NOT NULL UNIQUE, -- where other nodes reach it; empty: a server that is alone
    expires_at BIGINT NOT NULL,        -- by the database's clock
    process    ctext  NOT NULL DEFAULT '' -- identity of the process on its machine
);

ALTER TABLE accounts ADD COLUMN owner ctext;

-- What every node keeps in memory (tenants, keys, users, accounts) is numbered by its last change, so
-- that a node can ask for what has changed. The counter's row is locked until the change commits:
-- numbers become visible in their order.

CREATE TABLE directory_counter (
    id       BIGINT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);
INSERT INTO directory_counter (id, revision) VALUES (1, 0);

ALTER TABLE organisations ADD COLUMN directory_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN directory_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN directory_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN directory_revision BIGINT NOT NULL DEFAULT 0;

CREATE INDEX organisations_directory ON organisations (directory_revision);
CREATE INDEX api_keys_directory ON api_keys (directory_revision);
CREATE INDEX users_directory ON users (directory_revision);
CREATE INDEX accounts_directory ON accounts (directory_revision);

CREATE FUNCTION number_directory_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE directory_counter SET revision = revision + 1 WHERE id = 1 RETURNING revision INTO NEW.directory_revision;
    RETURN NEW;
END
$$;

CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON organisations
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();
-- Not for the account clock, which every commit moves.
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE OF name, status, access_token, app_secret, messages_per_second
    ON accounts FOR EACH ROW EXECUTE FUNCTION number_directory_change();
