-- The whole schema, for SQLite. The file of the other engine has the same tables, columns and indices
-- in the same order, but for the numbers of directory changes that PostgreSQL keeps for other nodes, and the index
-- of searches.
--
-- Every table of an account has the account's short number as the first column of its key, so that
-- one account's rows lie together. Ids are text and sort in the order of their creation. Instants are
-- milliseconds since the epoch. There are no foreign keys: an account has one writer, which never
-- leaves a row dangling, and each check would cost a look-up per row and commit.

-- Server

-- Values that are encrypted begin with the id of their key: kse1.<id>.<base64>. The keys are in a file of
-- their own; see docs/adr/0009-encryption-at-rest.md.

CREATE TABLE server_secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL -- hex, encrypted
) STRICT;

-- One row. A probe counts it up to find out whether a failed disk accepts writes again.
CREATE TABLE probes (
    id      INTEGER NOT NULL PRIMARY KEY,
    written INTEGER NOT NULL
) STRICT;
INSERT INTO probes (id, written) VALUES (1, 0);

-- Servers of the cluster. A file has one server, so here the table stays empty and the next server may
-- take over from any owner.
CREATE TABLE nodes (
    id         TEXT    NOT NULL PRIMARY KEY,
    address    TEXT    NOT NULL UNIQUE, -- where other nodes reach it; empty: a server that is alone
    expires_at INTEGER NOT NULL,        -- by the database's clock
    process    TEXT    NOT NULL DEFAULT '', -- identity of the process on its machine
    secret_keys TEXT   NOT NULL DEFAULT '' -- ids of keys that it has, the one that it writes under first; separated by commas
) STRICT;

-- At most one row: the rotation that the nodes carry out together.
CREATE TABLE key_rotation (
    id     INTEGER NOT NULL PRIMARY KEY,
    key_id TEXT    NOT NULL,
    phase  TEXT    NOT NULL
) STRICT;

-- Directory: organisations, their keys, users and accounts

CREATE TABLE organisations (
    id               TEXT    NOT NULL PRIMARY KEY,
    name             TEXT    NOT NULL,
    tier             TEXT    NOT NULL,
    write_per_minute INTEGER NOT NULL,
    read_per_minute  INTEGER NOT NULL,
    sandbox          INTEGER NOT NULL,
    suspended        INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    row_version      INTEGER NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at       INTEGER,          -- kept without data, so that other nodes learn of it
    removed_at       INTEGER           -- nothing that it owned is left
) STRICT;

CREATE TABLE api_keys (
    id              TEXT    NOT NULL PRIMARY KEY,
    organisation_id TEXT    NOT NULL,
    label           TEXT    NOT NULL,
    last4           TEXT    NOT NULL,
    digest          TEXT    NOT NULL UNIQUE, -- hex
    scopes          TEXT    NOT NULL, -- words
    expires_at      INTEGER,
    created_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL, -- [kind, id, name], JSON
    revoked_at      INTEGER
) STRICT;

-- The operator's named tokens; the one of the settings is not among them.
CREATE TABLE operator_tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    last4      TEXT    NOT NULL,
    digest     TEXT    NOT NULL UNIQUE, -- hex
    scopes     TEXT    NOT NULL, -- words
    expires_at INTEGER,
    created_by TEXT    NOT NULL, -- [kind, id, name]
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- Last use of keys and of the operator's tokens, to the minute; beside their rows, so that a use is no change of the directory.
CREATE TABLE credential_uses (
    credential TEXT    NOT NULL PRIMARY KEY,
    used_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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
    status_reason       TEXT,
    waba_id             TEXT,
    profile             TEXT    NOT NULL DEFAULT '{}', -- what Meta tells about the number, JSON
    access_token        TEXT    NOT NULL, -- encrypted
    app_secret          TEXT,             -- encrypted
    messages_per_second INTEGER NOT NULL,
    sandbox             INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    -- The account clock and its fence; only commits and activations move them.
    revision            INTEGER NOT NULL DEFAULT 0,
    sequence            INTEGER NOT NULL DEFAULT 0,
    epoch               INTEGER NOT NULL DEFAULT 0,
    last_commit_at      INTEGER NOT NULL DEFAULT 0,
    owner               TEXT, -- the node that serves the account
    deleted_at          INTEGER -- no node serves it, and its rows are being removed
) STRICT;

CREATE INDEX accounts_waba ON accounts (waba_id) WHERE waba_id IS NOT NULL;

-- Audit log: changes by operators and tenants. Entries are only added, and removed when they are old enough.

CREATE TABLE audit_entries (
    id              TEXT  NOT NULL PRIMARY KEY, -- made at the time of the change
    organisation_id TEXT , -- null: about the server as a whole
    actor_kind      TEXT  NOT NULL,
    actor_id        TEXT ,
    actor           TEXT  NOT NULL, -- [kind, id, name]
    action          TEXT  NOT NULL,
    target_kind     TEXT  NOT NULL,
    target_id       TEXT ,
    ip              TEXT ,
    request_id      TEXT 
) STRICT;

CREATE INDEX audit_entries_organisation ON audit_entries (organisation_id, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, id);
CREATE INDEX audit_entries_action ON audit_entries (action, id);
CREATE INDEX audit_entries_target ON audit_entries (target_id, id);

-- Account: contacts, conversations, messages and the event log

CREATE TABLE contacts (
    search_row             INTEGER NOT NULL PRIMARY KEY, -- ascends with the ids of an account
    account                INTEGER NOT NULL,
    id                     TEXT    NOT NULL,
    kind                   TEXT    NOT NULL,
    identity               TEXT    NOT NULL, -- numbers, user ids, group id and username, JSON
    name                   TEXT,
    name_origin            TEXT    NOT NULL,
    email                  TEXT,
    metadata               TEXT    NOT NULL,
    marketing_opted_out_at INTEGER,
    merged_into            TEXT, -- such a contact is in no list
    search_text            TEXT    NOT NULL, -- name, identifiers, username and email in lower case
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL,
    -- The account as three characters of Unicode's private use: one trigram.
    account_text           TEXT GENERATED ALWAYS AS
        (char(57344 + account % 6400, 57344 + account / 6400 % 6400, 57344 + account / 40960000 % 6400)) VIRTUAL,
    UNIQUE (account, id)
) STRICT;

CREATE INDEX contacts_merged ON contacts (account, merged_into) WHERE merged_into IS NOT NULL;

-- Trigrams of the contacts' search texts, and of their accounts. A contact that goes leaves nothing in it.
CREATE VIRTUAL TABLE contact_search USING fts5 (
    account_text, search_text,
    content = 'contacts', content_rowid = 'search_row', tokenize = 'trigram case_sensitive 1', detail = column
);
INSERT INTO contact_search (contact_search, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER contact_search_insert AFTER INSERT ON contacts BEGIN
    INSERT INTO contact_search (rowid, account_text, search_text)
    VALUES (new.search_row, new.account_text, new.search_text);
END;
CREATE TRIGGER contact_search_delete AFTER DELETE ON contacts BEGIN
    INSERT INTO contact_search (contact_search, rowid, account_text, search_text)
    VALUES ('delete', old.search_row, old.account_text, old.search_text);
END;
CREATE TRIGGER contact_search_update AFTER UPDATE OF search_text ON contacts
WHEN old.search_text <> new.search_text BEGIN
    INSERT INTO contact_search (contact_search, rowid, account_text, search_text)
    VALUES ('delete', old.search_row, old.account_text, old.search_text);
    INSERT INTO contact_search (rowid, account_text, search_text)
    VALUES (new.search_row, new.account_text, new.search_text);
END;

-- Every identifier of an account belongs to one contact.
CREATE TABLE contact_identifiers (
    account    INTEGER NOT NULL,
    identifier TEXT    NOT NULL, -- kind and value: n:+62…, u:ID.…, p:ID.ENT.…, g:…
    contact_id TEXT    NOT NULL,
    PRIMARY KEY (account, identifier)
) STRICT, WITHOUT ROWID;

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
    number_named_at INTEGER, -- WhatsApp's time of the newest message that named the current number
    merged_into     TEXT, -- such a conversation has no messages, and is in no list
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
    wamid_key       TEXT, -- equal for all forms of one id
    content         TEXT    NOT NULL,
    payload         TEXT    NOT NULL,
    context         TEXT, -- JSON
    details         TEXT    NOT NULL, -- what most messages lack, JSON
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

CREATE UNIQUE INDEX messages_wamid ON messages (account, wamid_key) WHERE wamid_key IS NOT NULL;
CREATE INDEX messages_direction ON messages (account, direction, id);
CREATE INDEX messages_status ON messages (account, status, id);
CREATE INDEX messages_conversation ON messages (account, conversation_id, id);
-- A pending message without the time of an attempt is held by WhatsApp: it does not wait to be sent.
CREATE INDEX messages_pending ON messages (account, next_attempt_at)
    WHERE status = 'pending' AND next_attempt_at IS NOT NULL;
CREATE INDEX messages_queue ON messages (account, conversation_id, id, next_attempt_at)
    WHERE status = 'pending' AND next_attempt_at IS NOT NULL;
CREATE INDEX messages_unread ON messages (account, conversation_id, id) WHERE status = 'received';

-- Items as they came from WhatsApp, by the key of the message that they are about.
CREATE TABLE raw_items (
    account     INTEGER NOT NULL,
    wamid_key   TEXT    NOT NULL,
    digest      TEXT    NOT NULL, -- hex: the same item is kept once
    role        TEXT    NOT NULL,
    body        TEXT    NOT NULL, -- JSON
    card        TEXT, -- contact card beside the item, JSON
    received_at INTEGER NOT NULL,
    place       INTEGER NOT NULL, -- in its commit
    PRIMARY KEY (account, wamid_key, digest)
) STRICT;

CREATE INDEX raw_items_age ON raw_items (received_at);

-- Items that came before the message that they are about.
CREATE TABLE parked_items (
    account   INTEGER NOT NULL,
    wamid_key TEXT    NOT NULL,
    slot      TEXT    NOT NULL, -- one item of a message each
    item      TEXT    NOT NULL, -- JSON
    parked_at INTEGER NOT NULL,
    PRIMARY KEY (account, wamid_key, slot)
) STRICT;

CREATE INDEX parked_items_age ON parked_items (parked_at);
CREATE INDEX parked_items_account ON parked_items (account, parked_at);

CREATE TABLE events (
    account         INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    id              TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    message_id      TEXT,
    conversation_id TEXT,
    contact_id      TEXT,
    previous_status TEXT, -- before the event; of message.status_reported the one that was reported
    occurred_at     INTEGER,
    snapshot        TEXT    NOT NULL, -- the subject's row as JSON
    PRIMARY KEY (account, sequence)
) STRICT;

CREATE INDEX events_age ON events (created_at, sequence);
CREATE INDEX events_message ON events (account, message_id) WHERE message_id IS NOT NULL;
-- Events that show a contact or a conversation, and those that show a value of a webhook whole.
CREATE INDEX events_contact ON events (account, contact_id, sequence)
    WHERE contact_id IS NOT NULL AND message_id IS NULL;
CREATE INDEX events_fields ON events (account, sequence) WHERE kind = 'whatsapp.*';

-- Message templates, which belong to a WhatsApp Business Account; each of its accounts has rows of its own.
CREATE TABLE templates (
    account         INTEGER NOT NULL,
    id              TEXT    NOT NULL,
    template_key    TEXT    NOT NULL, -- name/language
    name            TEXT    NOT NULL,
    language        TEXT    NOT NULL,
    status          TEXT    NOT NULL, -- follows from Meta's word
    provider_id     TEXT,
    provider_status TEXT    NOT NULL, -- Meta's word
    category        TEXT,
    quality         TEXT,
    rejected_reason TEXT,
    components      TEXT, -- JSON
    variables       TEXT, -- JSON
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (account, id),
    UNIQUE (account, template_key)
) STRICT;

CREATE INDEX templates_name ON templates (account, name, language);
CREATE INDEX templates_status ON templates (account, status, id);
CREATE INDEX templates_language ON templates (account, language, id);

-- Erasure: contacts that were deleted, while something about them is left.

CREATE TABLE erasures (
    account         INTEGER NOT NULL,
    contact_id      TEXT    NOT NULL,
    conversation_id TEXT, -- messages of it are shown to no reader
    marks           TEXT    NOT NULL, -- texts that name the contact in values of webhooks, JSON array
    begun_at        INTEGER NOT NULL,
    PRIMARY KEY (account, contact_id)
) STRICT, WITHOUT ROWID;

-- What was erased, so that WhatsApp's later items about it are skipped.
CREATE TABLE erased_keys (
    account   INTEGER NOT NULL,
    digest    TEXT    NOT NULL, -- hex, of a key of the message or value
    erased_at INTEGER NOT NULL,
    PRIMARY KEY (account, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX erased_keys_age ON erased_keys (erased_at);

-- Idempotency

CREATE TABLE idempotency_records (
    organisation_id TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    fingerprint     TEXT    NOT NULL, -- hex
    status          INTEGER NOT NULL, -- of the answer; 0: claimed by a node whose call has no answer yet
    body            TEXT    NOT NULL, -- encrypted where it shows a secret
    created_at      INTEGER NOT NULL,
    claimed_by      TEXT,             -- the node that ran the call; null: a server that was alone
    contact_id      TEXT,             -- the contact that the answer shows
    PRIMARY KEY (organisation_id, key)
) STRICT;

CREATE INDEX idempotency_records_age ON idempotency_records (created_at);
CREATE INDEX idempotency_records_contact ON idempotency_records (contact_id) WHERE contact_id IS NOT NULL;
CREATE INDEX idempotency_claims ON idempotency_records (claimed_by) WHERE status = 0;
CREATE INDEX idempotency_secrets ON idempotency_records (organisation_id, key) WHERE substr(body, 1, 5) = 'kse1.';

-- Delivery: how far each subscriber has come in each account's log

-- An account without a row here is younger than the subscriber, which gets its log from the beginning.
CREATE TABLE delivery_cursors (
    subscriber TEXT    NOT NULL,
    account    INTEGER NOT NULL,
    cursor     INTEGER NOT NULL, -- number of the last event that is taken care of
    PRIMARY KEY (subscriber, account)
) STRICT, WITHOUT ROWID;

-- Webhooks: subscriptions, their secrets, and the deliveries that are owed to them

CREATE TABLE webhook_subscriptions (
    id              TEXT    NOT NULL PRIMARY KEY,
    organisation_id TEXT    NOT NULL,
    url             TEXT    NOT NULL,
    events          TEXT    NOT NULL, -- JSON array of types
    format          TEXT    NOT NULL,
    description     TEXT,
    status          TEXT    NOT NULL,
    dead_in_row     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL, -- [kind, id, name], JSON
    updated_at      INTEGER NOT NULL,
    row_version     INTEGER NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at      INTEGER           -- kept, so that other nodes learn of it
) STRICT;

CREATE INDEX webhook_subscriptions_organisation ON webhook_subscriptions (organisation_id);

CREATE TABLE webhook_secrets (
    id              TEXT    NOT NULL PRIMARY KEY,
    subscription_id TEXT    NOT NULL,
    secret          TEXT    NOT NULL, -- encrypted
    created_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL, -- [kind, id, name], JSON
    expires_at      INTEGER
) STRICT;

CREATE INDEX webhook_secrets_subscription ON webhook_secrets (subscription_id, id);

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
    updated_at      INTEGER NOT NULL,
    message_id      TEXT, -- of the message that the body shows
    body            TEXT  -- bytes of its requests in Meta's form; null: made of the event at each attempt
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
CREATE INDEX webhook_deliveries_bodies ON webhook_deliveries (account, message_id) WHERE body IS NOT NULL;

-- Plugins: components, their state, and the runs of their hooks

CREATE TABLE plugins (
    id               TEXT    NOT NULL PRIMARY KEY,
    organisation_id  TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    description      TEXT,
    events           TEXT    NOT NULL, -- JSON array of types
    accounts         TEXT,             -- JSON array of phone_number_ids; null: all
    config           TEXT    NOT NULL, -- JSON object of texts
    secrets          TEXT    NOT NULL, -- JSON object of texts, encrypted; empty: none
    allowed_hosts    TEXT    NOT NULL, -- JSON array
    capabilities     TEXT,             -- JSON array; null: all
    enabled          INTEGER NOT NULL,
    state            TEXT    NOT NULL,
    state_since      INTEGER NOT NULL,
    state_reason     TEXT,
    by_operator      INTEGER NOT NULL,
    active_version   TEXT,
    previous_version TEXT,
    created_at       INTEGER NOT NULL,
    created_by       TEXT    NOT NULL, -- [kind, id, name], JSON
    updated_at       INTEGER NOT NULL,
    row_version      INTEGER NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at       INTEGER           -- kept, so that other nodes learn of it
) STRICT;

CREATE INDEX plugins_organisation ON plugins (organisation_id);

CREATE TABLE plugin_versions (
    id         TEXT    NOT NULL PRIMARY KEY,
    plugin_id  TEXT    NOT NULL,
    sha256     TEXT    NOT NULL, -- hex
    size       INTEGER NOT NULL,
    imports    TEXT    NOT NULL, -- JSON array
    exports    TEXT    NOT NULL, -- JSON array
    compile_ms INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL, -- [kind, id, name], JSON
    whole      INTEGER NOT NULL  -- 1 once all of its parts are there
) STRICT;

CREATE INDEX plugin_versions_plugin ON plugin_versions (plugin_id, id);
CREATE INDEX plugin_versions_unfinished ON plugin_versions (created_at) WHERE whole = 0;

-- A component's bytes, in parts that are written one by one: no other write waits for megabytes.
CREATE TABLE plugin_parts (
    version_id TEXT    NOT NULL,
    part       INTEGER NOT NULL,
    bytes      BLOB    NOT NULL,
    PRIMARY KEY (version_id, part)
) STRICT;

-- One row per plugin. Each recorder of its runs writes it first: of two recorders one waits.
CREATE TABLE plugin_heads (
    plugin_id   TEXT    NOT NULL PRIMARY KEY,
    kv_revision INTEGER NOT NULL, -- moves with every change of its keys and values
    gate        TEXT    NOT NULL  -- what has been let through last
) STRICT, WITHOUT ROWID;

CREATE TABLE plugin_kv (
    plugin_id TEXT NOT NULL,
    key       TEXT NOT NULL,
    value     TEXT NOT NULL, -- base64
    PRIMARY KEY (plugin_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE plugin_runs (
    id              TEXT    NOT NULL PRIMARY KEY,
    plugin_id       TEXT    NOT NULL,
    organisation_id TEXT    NOT NULL,
    account         INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    event_id        TEXT    NOT NULL,
    event_type      TEXT    NOT NULL,
    contact_id      TEXT    NOT NULL, -- runs about one contact go in order
    status          TEXT    NOT NULL, -- a delivery's: pending, delivered, failed, dead
    attempts        TEXT    NOT NULL, -- [[at, null, milliseconds, error], …]
    attempt_count   INTEGER NOT NULL,
    tries           INTEGER NOT NULL, -- attempts since it was made or last replayed
    replays         INTEGER NOT NULL DEFAULT 0, -- how often it was made due again; an attempt closes only what it was begun for
    next_attempt_at INTEGER,          -- null exactly when it is delivered or dead
    version_id      TEXT,             -- what ran last, and what that used
    cpu_us          INTEGER,
    wall_us         INTEGER,
    host_calls      INTEGER,
    memory_bytes    INTEGER,
    created_at      INTEGER NOT NULL, -- equals the time inside the id
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An event is owed to a plugin once.
CREATE UNIQUE INDEX plugin_runs_event ON plugin_runs (plugin_id, account, sequence);
CREATE INDEX plugin_runs_open ON plugin_runs (plugin_id, account, sequence) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX plugin_runs_list ON plugin_runs (plugin_id, id);
CREATE INDEX plugin_runs_status ON plugin_runs (plugin_id, status, id);
CREATE INDEX plugin_runs_age ON plugin_runs (created_at);

CREATE TABLE plugin_run_logs (
    id         TEXT    NOT NULL PRIMARY KEY,
    plugin_id  TEXT    NOT NULL,
    run_id     TEXT    NOT NULL,
    version_id TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    lines      TEXT    NOT NULL, -- [[at, level, text], …]
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX plugin_run_logs_list ON plugin_run_logs (plugin_id, id);
CREATE INDEX plugin_run_logs_run ON plugin_run_logs (run_id, id);
CREATE INDEX plugin_run_logs_age ON plugin_run_logs (created_at);

-- Effects that successful runs ask for, in the account whose event they handled.
CREATE TABLE plugin_effects (
    run_id        TEXT    NOT NULL,
    ordinal       INTEGER NOT NULL,
    account       INTEGER NOT NULL,
    sequence      INTEGER NOT NULL,
    effect        TEXT    NOT NULL, -- JSON
    status        TEXT    NOT NULL,
    message_id    TEXT,
    error_code    TEXT,
    error_message TEXT,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (run_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX plugin_effects_pending ON plugin_effects (account, sequence, run_id, ordinal) WHERE status = 'pending';
CREATE INDEX plugin_effects_age ON plugin_effects (created_at);

-- Statistics for the query planner, as ANALYZE would write them for a large server: rows in the
-- index, then rows that share its first column, its first two, and so on. Without them the planner
-- guesses ten rows per account, and walks past the index on status. The pending index is written
-- large on purpose: the backlog is to be read in the order of ids, and not sorted.

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('contacts', 'sqlite_autoindex_contacts_1', '1000000 10000 1'),
    ('contact_identifiers', 'contact_identifiers', '2000000 20000 1'),
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
    ('messages', 'messages_queue', '10000000 100000 3 1 1'),
    ('messages', 'messages_unread', '1000000 10000 3 1'),
    ('users', 'sqlite_autoindex_users_1', '1000 1'),
    ('raw_items', 'sqlite_autoindex_raw_items_1', '30000000 300000 3 1'),
    ('raw_items', 'raw_items_age', '30000000 3'),
    ('parked_items', 'sqlite_autoindex_parked_items_1', '100000 1000 2 1'),
    ('parked_items', 'parked_items_age', '100000 2'),
    ('parked_items', 'parked_items_account', '100000 1000 2'),
    ('events', 'sqlite_autoindex_events_1', '10000000 100000 1'),
    ('events', 'events_age', '10000000 2 1'),
    ('events', 'events_message', '8000000 80000 5'),
    ('events', 'events_contact', '2000000 20000 3 1'),
    ('events', 'events_fields', '100000 1000 1'),
    ('templates', 'sqlite_autoindex_templates_1', '100000 1000 1'),
    ('templates', 'sqlite_autoindex_templates_2', '100000 1000 1'),
    ('templates', 'templates_name', '100000 1000 2 1'),
    ('templates', 'templates_status', '100000 1000 500 1'),
    ('templates', 'templates_language', '100000 1000 500 1'),
    ('erasures', 'erasures', '100 2 1'),
    ('erased_keys', 'erased_keys', '100000 1000 1'),
    ('erased_keys', 'erased_keys_age', '100000 3'),
    ('contacts', 'contacts_merged', '10000 100 2'),
    ('idempotency_records', 'sqlite_autoindex_idempotency_records_1', '1000000 10000 1'),
    ('idempotency_records', 'idempotency_records_contact', '1000000 3'),
    ('idempotency_records', 'idempotency_records_age', '1000000 2');
