-- Every table of an account is keyed by the account's short number first, so that one account's
-- rows lie together. Ids are text and sort as they were made. Instants are milliseconds since the
-- epoch. There are no foreign keys: an account has one writer, which never leaves a row dangling,
-- and checking each row again would cost a look-up per row and commit.

-- Text that compares byte by byte, whatever the locale of the database.
CREATE DOMAIN ctext AS TEXT COLLATE "C";

CREATE TABLE server_secrets (
    name  ctext  NOT NULL PRIMARY KEY,
    value ctext  NOT NULL -- hex
);

-- One row, counted up by a probe that finds out whether a failed disk takes writes again.
CREATE TABLE probes (
    id      BIGINT NOT NULL PRIMARY KEY,
    written BIGINT NOT NULL
);
INSERT INTO probes (id, written) VALUES (1, 0);

CREATE TABLE organisations (
    id               ctext  NOT NULL PRIMARY KEY,
    name             ctext  NOT NULL,
    tier             ctext  NOT NULL,
    write_per_minute BIGINT NOT NULL,
    read_per_minute  BIGINT NOT NULL,
    sandbox          BIGINT NOT NULL,
    suspended        BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    row_version      BIGINT NOT NULL  -- how often it was written: a change is written only over the row that was read
);

CREATE TABLE api_keys (
    id              ctext  NOT NULL PRIMARY KEY,
    organisation_id ctext  NOT NULL,
    label           ctext  NOT NULL,
    last4           ctext  NOT NULL,
    digest          ctext  NOT NULL UNIQUE, -- hex
    expires_at      BIGINT,
    created_at      BIGINT NOT NULL,
    revoked_at      BIGINT
);

CREATE TABLE users (
    id              ctext  NOT NULL PRIMARY KEY,
    organisation_id ctext  NOT NULL,
    name            ctext  NOT NULL,
    email           ctext,
    created_at      BIGINT NOT NULL
);

CREATE TABLE accounts (
    number              BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  ctext  NOT NULL UNIQUE,
    organisation_id     ctext  NOT NULL,
    phone_number_id     ctext  NOT NULL UNIQUE,
    phone               ctext  NOT NULL,
    name                ctext,
    status              ctext  NOT NULL,
    access_token        ctext  NOT NULL,
    app_secret          ctext,
    messages_per_second BIGINT NOT NULL,
    sandbox             BIGINT NOT NULL,
    created_at          BIGINT NOT NULL,
    -- The account clock and its fence; only commits and activations move them.
    revision            BIGINT NOT NULL DEFAULT 0,
    sequence            BIGINT NOT NULL DEFAULT 0,
    epoch               BIGINT NOT NULL DEFAULT 0,
    last_commit_at      BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE contacts (
    account     BIGINT NOT NULL,
    id          ctext  NOT NULL,
    phone       ctext  NOT NULL,
    name        ctext,
    email       ctext,
    metadata    ctext  NOT NULL,
    search_text ctext  NOT NULL, -- name, phone and email in lower case
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (account, id),
    UNIQUE (account, phone)
);

CREATE TABLE conversations (
    account         BIGINT NOT NULL,
    id              ctext  NOT NULL,
    status          ctext  NOT NULL,
    contact_id      ctext  NOT NULL,
    assignee_id     ctext,
    unread_count    BIGINT NOT NULL,
    recency         BIGINT NOT NULL, -- last_message_at, or -1: the sort key of the list
    last_message_at BIGINT,
    last_inbound_at BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (account, id),
    UNIQUE (account, contact_id)
);

CREATE INDEX conversations_recency ON conversations (account, recency, id);
CREATE INDEX conversations_updated ON conversations (account, updated_at, id);
CREATE INDEX conversations_status_recency ON conversations (account, status, recency, id);
CREATE INDEX conversations_status_updated ON conversations (account, status, updated_at, id);

CREATE TABLE messages (
    account         BIGINT NOT NULL,
    id              ctext  NOT NULL,
    direction       ctext  NOT NULL,
    status          ctext  NOT NULL,
    kind            ctext  NOT NULL,
    conversation_id ctext  NOT NULL,
    contact_id      ctext  NOT NULL,
    sender          ctext  NOT NULL,
    recipient       ctext  NOT NULL,
    wamid           ctext,
    content         ctext  NOT NULL,
    payload         ctext  NOT NULL,
    context         ctext,
    error_code      ctext,
    error_message   ctext,
    provider_code   BIGINT,
    history         ctext  NOT NULL, -- [[status, at, reported], …]
    attempts        BIGINT NOT NULL,
    next_attempt_at BIGINT,
    created_at      BIGINT NOT NULL, -- equals the time inside the id
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);

CREATE UNIQUE INDEX messages_wamid ON messages (account, wamid) WHERE wamid IS NOT NULL;
CREATE INDEX messages_direction ON messages (account, direction, id);
CREATE INDEX messages_status ON messages (account, status, id);
CREATE INDEX messages_conversation ON messages (account, conversation_id, id);
CREATE INDEX messages_pending ON messages (account, next_attempt_at) WHERE status = 'pending';
CREATE INDEX messages_queue ON messages (account, conversation_id, id) WHERE status = 'pending';
CREATE INDEX messages_unread ON messages (account, conversation_id, id) WHERE status = 'received';

CREATE TABLE parked_statuses (
    account       BIGINT NOT NULL,
    wamid         ctext  NOT NULL,
    status        ctext  NOT NULL,
    echo          ctext,
    reported_at   BIGINT NOT NULL,
    error_code    ctext,
    error_message ctext,
    provider_code BIGINT,
    parked_at     BIGINT NOT NULL,
    PRIMARY KEY (account, wamid, status)
);

CREATE INDEX parked_statuses_age ON parked_statuses (parked_at);

CREATE TABLE events (
    account         BIGINT NOT NULL,
    sequence        BIGINT NOT NULL,
    id              ctext  NOT NULL,
    kind            ctext  NOT NULL,
    created_at      BIGINT NOT NULL,
    message_id      ctext,
    conversation_id ctext,
    contact_id      ctext,
    previous_status ctext,
    occurred_at     BIGINT,
    snapshot        ctext  NOT NULL, -- the subject's row as JSON
    PRIMARY KEY (account, sequence)
);

CREATE INDEX events_age ON events (created_at, sequence);

CREATE TABLE idempotency_records (
    organisation_id ctext  NOT NULL,
    key             ctext  NOT NULL,
    fingerprint     ctext  NOT NULL, -- hex
    status          BIGINT NOT NULL, -- of the answer; 0: claimed by a node whose call has no answer yet
    body            ctext  NOT NULL,
    created_at      BIGINT NOT NULL,
    claimed_by      ctext,           -- the node that ran the call; null: a server that was alone
    PRIMARY KEY (organisation_id, key)
);

CREATE INDEX idempotency_records_age ON idempotency_records (created_at);
CREATE INDEX idempotency_claims ON idempotency_records (claimed_by) WHERE status = 0;
