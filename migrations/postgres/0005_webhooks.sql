-- Who wants events, how far each subscriber has been brought along each account's log, and what is
-- owed to webhooks.

CREATE TABLE webhook_subscriptions (
    id              ctext  NOT NULL PRIMARY KEY,
    organisation_id ctext  NOT NULL,
    url             ctext  NOT NULL,
    events          ctext  NOT NULL, -- JSON array of types
    description     ctext,
    status          ctext  NOT NULL,
    dead_in_row     BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    row_version     BIGINT NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at      BIGINT           -- kept, so that other nodes learn of it
);

CREATE INDEX webhook_subscriptions_organisation ON webhook_subscriptions (organisation_id);

CREATE TABLE webhook_secrets (
    id              ctext  NOT NULL PRIMARY KEY,
    subscription_id ctext  NOT NULL,
    secret          ctext  NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT
);

CREATE INDEX webhook_secrets_subscription ON webhook_secrets (subscription_id, id);

-- An account without a row here is younger than the subscriber, who gets its log from the beginning.
CREATE TABLE delivery_cursors (
    subscriber ctext  NOT NULL,
    account    BIGINT NOT NULL,
    cursor     BIGINT NOT NULL, -- number of the last event that is taken care of
    PRIMARY KEY (subscriber, account)
);

CREATE TABLE webhook_deliveries (
    id              ctext  NOT NULL PRIMARY KEY,
    subscription_id ctext  NOT NULL,
    organisation_id ctext  NOT NULL,
    account         BIGINT NOT NULL,
    sequence        BIGINT NOT NULL,
    event_id        ctext  NOT NULL,
    event_type      ctext  NOT NULL,
    contact_id      ctext  NOT NULL, -- deliveries about one contact go in order
    status          ctext  NOT NULL,
    attempts        ctext  NOT NULL, -- [[at, status code, milliseconds, error], …]
    attempt_count   BIGINT NOT NULL,
    tries           BIGINT NOT NULL, -- attempts since it was made or last replayed
    replays         BIGINT NOT NULL DEFAULT 0, -- how often it was made due again; an attempt closes only what it was begun for
    next_attempt_at BIGINT,          -- null exactly when it is delivered or dead
    created_at      BIGINT NOT NULL, -- equals the time inside the id
    updated_at      BIGINT NOT NULL
);

-- An event is owed to a subscriber once.
CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries (subscription_id, account, sequence);
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (subscription_id, account, sequence)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (organisation_id, id);
CREATE INDEX webhook_deliveries_status ON webhook_deliveries (organisation_id, status, id);
CREATE INDEX webhook_deliveries_subscription ON webhook_deliveries (subscription_id, id);
CREATE INDEX webhook_deliveries_subscription_status ON webhook_deliveries (subscription_id, status, id);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);

-- Nodes keep subscriptions in memory, like the rest of the directory.
ALTER TABLE webhook_subscriptions ADD COLUMN directory_revision BIGINT NOT NULL DEFAULT 0;
CREATE INDEX webhook_subscriptions_directory ON webhook_subscriptions (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON webhook_subscriptions
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();
