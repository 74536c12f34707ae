-- Who wants events, how far each subscriber has been brought along each account's log, and what is
-- owed to webhooks.

CREATE TABLE webhook_subscriptions (
    id              TEXT    NOT NULL PRIMARY KEY,
    organisation_id TEXT    NOT NULL,
    url             TEXT    NOT NULL,
    events          TEXT    NOT NULL, -- JSON array of types
    description     TEXT,
    status          TEXT    NOT NULL,
    dead_in_row     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    row_version     INTEGER NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at      INTEGER           -- kept, so that other nodes learn of it
) STRICT;

CREATE INDEX webhook_subscriptions_organisation ON webhook_subscriptions (organisation_id);

CREATE TABLE webhook_secrets (
    id              TEXT    NOT NULL PRIMARY KEY,
    subscription_id TEXT    NOT NULL,
    secret          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER
) STRICT;

CREATE INDEX webhook_secrets_subscription ON webhook_secrets (subscription_id, id);

-- An account without a row here is younger than the subscriber, who gets its log from the beginning.
CREATE TABLE delivery_cursors (
    subscriber TEXT    NOT NULL,
    account    INTEGER NOT NULL,
    cursor     INTEGER NOT NULL, -- number of the last event that is taken care of
    PRIMARY KEY (subscriber, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_deliveries (
    id              TEXT    NOT NULL PRIMARY KEY,
    subscription_id TEXT    NOT NULL,
    organisation_id TEXT    NOT NULL,
    account         INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    event_id        TEXT    NOT NULL,
    event_type      TEXT    NOT NULL,
    contact_id      TEXT    NOT NULL, -- deliveries about one contact go in order
    status          TEXT    NOT NULL,
    attempts        TEXT    NOT NULL, -- [[at, status code, milliseconds, error], …]
    attempt_count   INTEGER NOT NULL,
    tries           INTEGER NOT NULL, -- attempts since it was made or last replayed
    replays         INTEGER NOT NULL DEFAULT 0, -- how often it was made due again; an attempt closes only what it was begun for
    next_attempt_at INTEGER,          -- null exactly when it is delivered or dead
    created_at      INTEGER NOT NULL, -- equals the time inside the id
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An event is owed to a subscriber once.
CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries (subscription_id, account, sequence);
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (subscription_id, account, sequence)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (organisation_id, id);
CREATE INDEX webhook_deliveries_status ON webhook_deliveries (organisation_id, status, id);
CREATE INDEX webhook_deliveries_subscription ON webhook_deliveries (subscription_id, id);
CREATE INDEX webhook_deliveries_subscription_status ON webhook_deliveries (subscription_id, status, id);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
