-- Every table of an account is keyed by the account's short number first, so that one account's
-- rows lie together. Ids are TEXT and sort as they were made. Instants are milliseconds since the
-- epoch. There are no foreign keys: an account has one writer, which never leaves a row dangling,
-- and checking each row again would cost a look-up per row and commit.

CREATE TABLE server_secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL -- hex
) STRICT;

-- One row, counted up by a probe that finds out whether a failed disk takes writes again.
CREATE TABLE probes (
    id      INTEGER NOT NULL PRIMARY KEY,
    written INTEGER NOT NULL
) STRICT;
INSERT INTO probes (id, written) VALUES (1, 0);

CREATE TABLE organisations (
    id               TEXT    NOT NULL PRIMARY KEY,
    name             TEXT    NOT NULL,
    tier             TEXT    NOT NULL,
    write_per_minute INTEGER NOT NULL,
    read_per_minute  INTEGER NOT NULL,
    sandbox          INTEGER NOT NULL,
    suspended        INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    row_version      INTEGER NOT NULL  -- how often it was written: a change is written only over the row that was read
) STRICT;

CREATE TABLE api_keys (
    id              TEXT    NOT NULL PRIMARY KEY,
    organisation_id TEXT    NOT NULL,
    label           TEXT    NOT NULL,
    last4           TEXT    NOT NULL,
    digest          TEXT    NOT NULL UNIQUE, -- hex
    expires_at      INTEGER,
    created_at      INTEGER NOT NULL,
    revoked_at      INTEGER
) STRICT;

CREATE TABLE users (
    id              TEXT    NOT NULL PRIMARY KEY,
    organisation_id TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    email           TEXT,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    number              INTEGER NOT NULL PRIMARY KEY,
    id                  TEXT    NOT NULL UNIQUE,
    organisation_id     TEXT    NOT NULL,
    phone_number_id     TEXT    NOT NULL UNIQUE,
    phone               TEXT    NOT NULL,
    name                TEXT,
    status              TEXT    NOT NULL,
    access_token        TEXT    NOT NULL,
    app_secret          TEXT,
    messages_per_second INTEGER NOT NULL,
    sandbox             INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    -- The account clock and its fence; only commits and activations move them.
    revision            INTEGER NOT NULL DEFAULT 0,
    sequence            INTEGER NOT NULL DEFAULT 0,
    epoch               INTEGER NOT NULL DEFAULT 0,
    last_commit_at      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE contacts (
    account     INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    phone       TEXT    NOT NULL,
    name        TEXT,
    email       TEXT,
    metadata    TEXT    NOT NULL,
    search_text TEXT    NOT NULL, -- name, phone and email in lower case
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (account, id),
    UNIQUE (account, phone)
) STRICT;

CREATE TABLE conversations (
    account         INTEGER NOT NULL,
    id              TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    contact_id      TEXT    NOT NULL,
    assignee_id     TEXT,
    unread_count    INTEGER NOT NULL,
    recency         INTEGER NOT NULL, -- last_message_at, or -1: the sort key of the list
    last_message_at INTEGER,
    last_inbound_at INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (account, id),
    UNIQUE (account, contact_id)
) STRICT;

CREATE INDEX conversations_recency ON conversations (account, recency, id);
CREATE INDEX conversations_updated ON conversations (account, updated_at, id);
CREATE INDEX conversations_status_recency ON conversations (account, status, recency, id);
CREATE INDEX conversations_status_updated ON conversations (account, status, updated_at, id);

CREATE TABLE messages (
    account         INTEGER NOT NULL,
    id              TEXT    NOT NULL,
    direction       TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    conversation_id TEXT    NOT NULL,
    contact_id      TEXT    NOT NULL,
    sender          TEXT    NOT NULL,
    recipient       TEXT    NOT NULL,
    wamid           TEXT,
    content         TEXT    NOT NULL,
    payload         TEXT    NOT NULL,
    context         TEXT,
    error_code      TEXT,
    error_message   TEXT,
    provider_code   INTEGER,
    history         TEXT    NOT NULL, -- [[status, at, reported], …]
    attempts        INTEGER NOT NULL,
    next_attempt_at INTEGER,
    created_at      INTEGER NOT NULL, -- equals the time inside the id
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT;

CREATE UNIQUE INDEX messages_wamid ON messages (account, wamid) WHERE wamid IS NOT NULL;
CREATE INDEX messages_direction ON messages (account, direction, id);
CREATE INDEX messages_status ON messages (account, status, id);
CREATE INDEX messages_conversation ON messages (account, conversation_id, id);
CREATE INDEX messages_pending ON messages (account, next_attempt_at) WHERE status = 'pending';
CREATE INDEX messages_queue ON messages (account, conversation_id, id) WHERE status = 'pending';
CREATE INDEX messages_unread ON messages (account, conversation_id, id) WHERE status = 'received';

CREATE TABLE parked_statuses (
    account       INTEGER NOT NULL,
    wamid         TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    echo          TEXT,
    reported_at   INTEGER NOT NULL,
    error_code    TEXT,
    error_message TEXT,
    provider_code INTEGER,
    parked_at     INTEGER NOT NULL,
    PRIMARY KEY (account, wamid, status)
) STRICT;

CREATE INDEX parked_statuses_age ON parked_statuses (parked_at);

CREATE TABLE events (
    account         INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    id              TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    message_id      TEXT,
    conversation_id TEXT,
    contact_id      TEXT,
    previous_status TEXT,
    occurred_at     INTEGER,
    snapshot        TEXT    NOT NULL, -- the subject's row as JSON
    PRIMARY KEY (account, sequence)
) STRICT;

CREATE INDEX events_age ON events (created_at, sequence);

CREATE TABLE idempotency_records (
    organisation_id TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    fingerprint     TEXT    NOT NULL, -- hex
    status          INTEGER NOT NULL, -- of the answer; 0: claimed by a node whose call has no answer yet
    body            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    claimed_by      TEXT,             -- the node that ran the call; null: a server that was alone
    PRIMARY KEY (organisation_id, key)
) STRICT;

CREATE INDEX idempotency_records_age ON idempotency_records (created_at);
CREATE INDEX idempotency_claims ON idempotency_records (claimed_by) WHERE status = 0;

-- What the planner should think of the data, as ANALYZE would write it for a large server: rows in
-- the index, then rows that share its first column, its first two, and so on. Without it the
-- planner guesses ten rows per account, and walks past the index on status. The pending index is
-- written large on purpose: the backlog is to be read in the order of ids, and not sorted.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('contacts', 'sqlite_autoindex_contacts_1', '1000000 10000 1'),
    ('contacts', 'sqlite_autoindex_contacts_2', '1000000 10000 1'),
    ('conversations', 'sqlite_autoindex_conversations_1', '1000000 10000 1'),
    ('conversations', 'sqlite_autoindex_conversations_2', '1000000 10000 1'),
    ('conversations', 'conversations_recency', '1000000 10000 2 1'),
    ('conversations', 'conversations_updated', '1000000 10000 2 1'),
    ('conversations', 'conversations_status_recency', '1000000 10000 3000 2 1'),
    ('conversations', 'conversations_status_updated', '1000000 10000 3000 2 1'),
    ('messages', 'sqlite_autoindex_messages_1', '10000000 100000 1'),
    ('messages', 'messages_wamid', '10000000 100000 1'),
    ('messages', 'messages_direction', '10000000 100000 50000 1'),
    ('messages', 'messages_status', '10000000 100000 20000 1'),
    ('messages', 'messages_conversation', '10000000 100000 10 1'),
    ('messages', 'messages_pending', '10000000 100000 1'),
    ('messages', 'messages_queue', '10000000 100000 3 1'),
    ('messages', 'messages_unread', '1000000 10000 3 1'),
    ('users', 'sqlite_autoindex_users_1', '1000 1'),
    ('parked_statuses', 'sqlite_autoindex_parked_statuses_1', '100000 1000 2 1'),
    ('parked_statuses', 'parked_statuses_age', '100000 2'),
    ('events', 'sqlite_autoindex_events_1', '10000000 100000 1'),
    ('events', 'events_age', '10000000 2 1'),
    ('idempotency_records', 'sqlite_autoindex_idempotency_records_1', '1000000 10000 1'),
    ('idempotency_records', 'idempotency_records_age', '1000000 2');
