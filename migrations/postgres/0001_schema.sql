-- The whole schema, for PostgreSQL. The file of the other engine has the same tables, columns and indices
-- in the same order, but for the numbers of directory changes, which a file with one server does not need, and the
-- index of searches.
--
-- Every table of an account has the account's short number as the first column of its key, so that
-- one account's rows lie together. Ids are text and sort in the order of their creation. Instants are
-- milliseconds since the epoch. There are no foreign keys: an account has one writer, which never
-- leaves a row dangling, and each check would cost a look-up per row and commit.

-- Text that compares byte by byte, whatever the locale of the database.
CREATE DOMAIN ctext AS TEXT COLLATE "C";

-- Server

-- Values that are encrypted begin with the id of their key: kse1.<id>.<base64>. The keys are in a file of
-- their own; see docs/adr/0009-encryption-at-rest.md.

CREATE TABLE server_secrets (
    name  ctext  NOT NULL PRIMARY KEY,
    value ctext  NOT NULL -- hex, encrypted
);

-- One row. A probe counts it up to find out whether a failed disk accepts writes again.
CREATE TABLE probes (
    id      BIGINT NOT NULL PRIMARY KEY,
    written BIGINT NOT NULL
);
INSERT INTO probes (id, written) VALUES (1, 0);

-- Servers of the cluster. A node whose row is gone does not come back: it starts again under another id.
CREATE TABLE nodes (
    id         ctext  NOT NULL PRIMARY KEY,
    address    ctext  NOT NULL UNIQUE, -- where other nodes reach it; empty: a server that is alone
    expires_at BIGINT NOT NULL,        -- by the database's clock
    process    ctext  NOT NULL DEFAULT '', -- identity of the process on its machine
    secret_keys ctext  NOT NULL DEFAULT '' -- ids of keys that it has, the one that it writes under first; separated by commas
);

-- At most one row: the rotation that the nodes carry out together.
CREATE TABLE key_rotation (
    id     BIGINT NOT NULL PRIMARY KEY,
    key_id ctext  NOT NULL,
    phase  ctext  NOT NULL
);

-- Number of the last change of the directory. The row is locked until a change commits, so numbers become
-- visible in their order.
CREATE TABLE directory_counter (
    id       BIGINT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);
INSERT INTO directory_counter (id, revision) VALUES (1, 0);

CREATE FUNCTION number_directory_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE directory_counter SET revision = revision + 1 WHERE id = 1 RETURNING revision INTO NEW.directory_revision;
    RETURN NEW;
END
$$;

-- Directory: organisations, their keys, users and accounts
--
-- Every node keeps the directory in memory. Each of its rows carries the number of its last change, so
-- that a node asks for what has changed since.

CREATE TABLE organisations (
    id               ctext  NOT NULL PRIMARY KEY,
    name             ctext  NOT NULL,
    tier             ctext  NOT NULL,
    write_per_minute BIGINT NOT NULL,
    read_per_minute  BIGINT NOT NULL,
    sandbox          BIGINT NOT NULL,
    suspended        BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    row_version      BIGINT NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at       BIGINT,           -- kept without data, so that other nodes learn of it
    removed_at       BIGINT,           -- nothing that it owned is left
    directory_revision BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX organisations_directory ON organisations (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON organisations
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();

CREATE TABLE api_keys (
    id              ctext  NOT NULL PRIMARY KEY,
    organisation_id ctext  NOT NULL,
    label           ctext  NOT NULL,
    last4           ctext  NOT NULL,
    digest          ctext  NOT NULL UNIQUE, -- hex
    scopes          ctext  NOT NULL, -- words
    expires_at      BIGINT,
    created_at      BIGINT NOT NULL,
    created_by      ctext  NOT NULL, -- [kind, id, name], JSON
    revoked_at      BIGINT,
    directory_revision BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX api_keys_directory ON api_keys (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();

-- The operator's named tokens; the one of the settings is not among them.
CREATE TABLE operator_tokens (
    id         ctext  NOT NULL PRIMARY KEY,
    name       ctext  NOT NULL,
    last4      ctext  NOT NULL,
    digest     ctext  NOT NULL UNIQUE, -- hex
    scopes     ctext  NOT NULL, -- words
    expires_at BIGINT,
    created_by ctext  NOT NULL, -- [kind, id, name]
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    directory_revision BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX operator_tokens_directory ON operator_tokens (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON operator_tokens
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();

-- Last use of keys and of the operator's tokens, to the minute; beside their rows, so that a use is no change of the directory.
CREATE TABLE credential_uses (
    credential ctext  NOT NULL PRIMARY KEY,
    used_at    BIGINT NOT NULL
);

CREATE TABLE users (
    id              ctext  NOT NULL PRIMARY KEY,
    organisation_id ctext  NOT NULL,
    name            ctext  NOT NULL,
    email           ctext,
    created_at      BIGINT NOT NULL,
    directory_revision BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX users_directory ON users (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();

CREATE TABLE accounts (
    number              BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  ctext  NOT NULL UNIQUE,
    organisation_id     ctext  NOT NULL,
    phone_number_id     ctext  NOT NULL UNIQUE,
    phone               ctext  NOT NULL,
    name                ctext,
    status              ctext  NOT NULL,
    status_reason       ctext,
    waba_id             ctext,
    profile             ctext  NOT NULL DEFAULT '{}', -- what Meta tells about the number, JSON
    access_token        ctext  NOT NULL, -- encrypted
    app_secret          ctext,           -- encrypted
    messages_per_second BIGINT NOT NULL,
    sandbox             BIGINT NOT NULL,
    created_at          BIGINT NOT NULL,
    -- The account clock and its fence; only commits and activations move them.
    revision            BIGINT NOT NULL DEFAULT 0,
    sequence            BIGINT NOT NULL DEFAULT 0,
    epoch               BIGINT NOT NULL DEFAULT 0,
    last_commit_at      BIGINT NOT NULL DEFAULT 0,
    owner               ctext, -- the node that serves the account
    deleted_at          BIGINT, -- no node serves it, and its rows are being removed
    directory_revision  BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX accounts_waba ON accounts (waba_id) WHERE waba_id IS NOT NULL;
CREATE INDEX accounts_directory ON accounts (directory_revision);
-- Not for the account clock, which every commit moves.
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE OF name, status, status_reason, waba_id, profile, access_token, app_secret,
    messages_per_second ON accounts FOR EACH ROW EXECUTE FUNCTION number_directory_change();

-- Audit log: changes by operators and tenants. Entries are only added, and removed when they are old enough.

CREATE TABLE audit_entries (
    id              ctext NOT NULL PRIMARY KEY, -- made at the time of the change
    organisation_id ctext, -- null: about the server as a whole
    actor_kind      ctext NOT NULL,
    actor_id        ctext,
    actor           ctext NOT NULL, -- [kind, id, name]
    action          ctext NOT NULL,
    target_kind     ctext NOT NULL,
    target_id       ctext,
    ip              ctext,
    request_id      ctext
);

CREATE INDEX audit_entries_organisation ON audit_entries (organisation_id, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, id);
CREATE INDEX audit_entries_action ON audit_entries (action, id);
CREATE INDEX audit_entries_target ON audit_entries (target_id, id);

-- Account: contacts, conversations, messages and the event log

CREATE TABLE contacts (
    account                BIGINT  NOT NULL,
    id                     ctext   NOT NULL,
    kind                   ctext   NOT NULL,
    identity               ctext   NOT NULL, -- numbers, user ids, group id and username, JSON
    name                   ctext,
    name_origin            ctext   NOT NULL,
    email                  ctext,
    metadata               ctext   NOT NULL,
    marketing_opted_out_at BIGINT,
    merged_into            ctext, -- such a contact is in no list
    search_text            ctext   NOT NULL, -- name, identifiers, username and email in lower case
    created_at             BIGINT  NOT NULL,
    updated_at             BIGINT  NOT NULL,
    PRIMARY KEY (account, id)
);

CREATE INDEX contacts_merged ON contacts (account, merged_into) WHERE merged_into IS NOT NULL;

-- Trigrams of a search text, each with its account before it.
CREATE FUNCTION contact_trigrams(account BIGINT, search TEXT) RETURNS TEXT[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT COALESCE(array_agg(DISTINCT account::text || ':' || c[i] || c[i + 1] || c[i + 2]), '{}'::text[])
    FROM (SELECT string_to_array(search, NULL) AS c) AS chars, generate_series(1, cardinality(c) - 2) AS i
$$;
-- New entries wait in a short list, which is read with the index and which one commit moves into it.
CREATE INDEX contacts_search ON contacts USING gin (contact_trigrams(account, search_text))
    WITH (gin_pending_list_limit = 256);

-- Every identifier of an account belongs to one contact.
CREATE TABLE contact_identifiers (
    account    BIGINT  NOT NULL,
    identifier ctext   NOT NULL, -- kind and value: n:+62…, u:ID.…, p:ID.ENT.…, g:…
    contact_id ctext   NOT NULL,
    PRIMARY KEY (account, identifier)
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
    number_named_at BIGINT, -- WhatsApp's time of the newest message that named the current number
    merged_into     ctext, -- such a conversation has no messages, and is in no list
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
    wamid_key       ctext, -- equal for all forms of one id
    content         ctext  NOT NULL,
    payload         ctext  NOT NULL,
    context         ctext, -- JSON
    details         ctext   NOT NULL, -- what most messages lack, JSON
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
    account     BIGINT  NOT NULL,
    wamid_key   ctext   NOT NULL,
    digest      ctext   NOT NULL, -- hex: the same item is kept once
    role        ctext   NOT NULL,
    body        ctext   NOT NULL, -- JSON
    card        ctext, -- contact card beside the item, JSON
    received_at BIGINT  NOT NULL,
    place       BIGINT  NOT NULL, -- in its commit
    PRIMARY KEY (account, wamid_key, digest)
);

CREATE INDEX raw_items_age ON raw_items (received_at);

-- Items that came before the message that they are about.
CREATE TABLE parked_items (
    account   BIGINT  NOT NULL,
    wamid_key ctext   NOT NULL,
    slot      ctext   NOT NULL, -- one item of a message each
    item      ctext   NOT NULL, -- JSON
    parked_at BIGINT  NOT NULL,
    PRIMARY KEY (account, wamid_key, slot)
);

CREATE INDEX parked_items_age ON parked_items (parked_at);
CREATE INDEX parked_items_account ON parked_items (account, parked_at);

CREATE TABLE events (
    account         BIGINT NOT NULL,
    sequence        BIGINT NOT NULL,
    id              ctext  NOT NULL,
    kind            ctext  NOT NULL,
    created_at      BIGINT NOT NULL,
    message_id      ctext,
    conversation_id ctext,
    contact_id      ctext,
    previous_status ctext, -- before the event; of message.status_reported the one that was reported
    occurred_at     BIGINT,
    snapshot        ctext  NOT NULL, -- the subject's row as JSON
    PRIMARY KEY (account, sequence)
);

CREATE INDEX events_age ON events (created_at, sequence);
CREATE INDEX events_message ON events (account, message_id) WHERE message_id IS NOT NULL;
-- Events that show a contact or a conversation, and those that show a value of a webhook whole.
CREATE INDEX events_contact ON events (account, contact_id, sequence)
    WHERE contact_id IS NOT NULL AND message_id IS NULL;
CREATE INDEX events_fields ON events (account, sequence) WHERE kind = 'whatsapp.*';

-- Message templates, which belong to a WhatsApp Business Account; each of its accounts has rows of its own.
CREATE TABLE templates (
    account         BIGINT NOT NULL,
    id              ctext  NOT NULL,
    template_key    ctext  NOT NULL, -- name/language
    name            ctext  NOT NULL,
    language        ctext  NOT NULL,
    status          ctext  NOT NULL, -- follows from Meta's word
    provider_id     ctext,
    provider_status ctext  NOT NULL, -- Meta's word
    category        ctext,
    quality         ctext,
    rejected_reason ctext,
    components      ctext, -- JSON
    variables       ctext, -- JSON
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (account, id),
    UNIQUE (account, template_key)
);

CREATE INDEX templates_name ON templates (account, name, language);
CREATE INDEX templates_status ON templates (account, status, id);
CREATE INDEX templates_language ON templates (account, language, id);

-- Erasure: contacts that were deleted, while something about them is left.

CREATE TABLE erasures (
    account         BIGINT  NOT NULL,
    contact_id      ctext   NOT NULL,
    conversation_id ctext, -- messages of it are shown to no reader
    marks           ctext   NOT NULL, -- texts that name the contact in values of webhooks, JSON array
    begun_at        BIGINT  NOT NULL,
    PRIMARY KEY (account, contact_id)
);

-- What was erased, so that WhatsApp's later items about it are skipped.
CREATE TABLE erased_keys (
    account   BIGINT  NOT NULL,
    digest    ctext   NOT NULL, -- hex, of a key of the message or value
    erased_at BIGINT  NOT NULL,
    PRIMARY KEY (account, digest)
);

CREATE INDEX erased_keys_age ON erased_keys (erased_at);

-- Idempotency

CREATE TABLE idempotency_records (
    organisation_id ctext  NOT NULL,
    key             ctext  NOT NULL,
    fingerprint     ctext  NOT NULL, -- hex
    status          BIGINT NOT NULL, -- of the answer; 0: claimed by a node whose call has no answer yet
    body            ctext  NOT NULL, -- encrypted where it shows a secret
    created_at      BIGINT NOT NULL,
    claimed_by      ctext,           -- the node that ran the call; null: a server that was alone
    contact_id      ctext,            -- the contact that the answer shows
    PRIMARY KEY (organisation_id, key)
);

CREATE INDEX idempotency_records_age ON idempotency_records (created_at);
CREATE INDEX idempotency_records_contact ON idempotency_records (contact_id) WHERE contact_id IS NOT NULL;
CREATE INDEX idempotency_claims ON idempotency_records (claimed_by) WHERE status = 0;
CREATE INDEX idempotency_secrets ON idempotency_records (organisation_id, key) WHERE substr(body, 1, 5) = 'kse1.';

-- Delivery: how far each subscriber has come in each account's log

-- An account without a row here is younger than the subscriber, which gets its log from the beginning.
CREATE TABLE delivery_cursors (
    subscriber ctext  NOT NULL,
    account    BIGINT NOT NULL,
    cursor     BIGINT NOT NULL, -- number of the last event that is taken care of
    PRIMARY KEY (subscriber, account)
);

-- Webhooks: subscriptions, their secrets, and the deliveries that are owed to them

CREATE TABLE webhook_subscriptions (
    id              ctext  NOT NULL PRIMARY KEY,
    organisation_id ctext  NOT NULL,
    url             ctext  NOT NULL,
    events          ctext  NOT NULL, -- JSON array of types
    format          ctext  NOT NULL,
    description     ctext,
    status          ctext  NOT NULL,
    dead_in_row     BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    created_by      ctext  NOT NULL, -- [kind, id, name], JSON
    updated_at      BIGINT NOT NULL,
    row_version     BIGINT NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at      BIGINT,          -- kept, so that other nodes learn of it
    directory_revision BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX webhook_subscriptions_organisation ON webhook_subscriptions (organisation_id);
CREATE INDEX webhook_subscriptions_directory ON webhook_subscriptions (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON webhook_subscriptions
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();

CREATE TABLE webhook_secrets (
    id              ctext  NOT NULL PRIMARY KEY,
    subscription_id ctext  NOT NULL,
    secret          ctext  NOT NULL, -- encrypted
    created_at      BIGINT NOT NULL,
    created_by      ctext  NOT NULL, -- [kind, id, name], JSON
    expires_at      BIGINT
);

CREATE INDEX webhook_secrets_subscription ON webhook_secrets (subscription_id, id);

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
    updated_at      BIGINT NOT NULL,
    message_id      ctext, -- of the message that the body shows
    body            ctext  -- bytes of its requests in Meta's form; null: made of the event at each attempt
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
CREATE INDEX webhook_deliveries_bodies ON webhook_deliveries (account, message_id) WHERE body IS NOT NULL;

-- Plugins: components, their state, and the runs of their hooks

CREATE TABLE plugins (
    id               ctext  NOT NULL PRIMARY KEY,
    organisation_id  ctext  NOT NULL,
    name             ctext  NOT NULL,
    description      ctext,
    events           ctext  NOT NULL, -- JSON array of types
    accounts         ctext,            -- JSON array of phone_number_ids; null: all
    config           ctext  NOT NULL, -- JSON object of texts
    secrets          ctext  NOT NULL, -- JSON object of texts, encrypted; empty: none
    allowed_hosts    ctext  NOT NULL, -- JSON array
    capabilities     ctext,            -- JSON array; null: all
    enabled          BIGINT NOT NULL,
    state            ctext  NOT NULL,
    state_since      BIGINT NOT NULL,
    state_reason     ctext,
    by_operator      BIGINT NOT NULL,
    active_version   ctext,
    previous_version ctext,
    created_at       BIGINT NOT NULL,
    created_by       ctext  NOT NULL, -- [kind, id, name], JSON
    updated_at       BIGINT NOT NULL,
    row_version      BIGINT NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at       BIGINT,          -- kept, so that other nodes learn of it
    directory_revision BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX plugins_organisation ON plugins (organisation_id);
CREATE INDEX plugins_directory ON plugins (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON plugins
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();

CREATE TABLE plugin_versions (
    id         ctext  NOT NULL PRIMARY KEY,
    plugin_id  ctext  NOT NULL,
    sha256     ctext  NOT NULL, -- hex
    size       BIGINT NOT NULL,
    imports    ctext  NOT NULL, -- JSON array
    exports    ctext  NOT NULL, -- JSON array
    compile_ms BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by ctext  NOT NULL, -- [kind, id, name], JSON
    whole      BIGINT NOT NULL  -- 1 once all of its parts are there
);

CREATE INDEX plugin_versions_plugin ON plugin_versions (plugin_id, id);
CREATE INDEX plugin_versions_unfinished ON plugin_versions (created_at) WHERE whole = 0;

-- A component's bytes, in parts that are written one by one: no other write waits for megabytes.
CREATE TABLE plugin_parts (
    version_id ctext  NOT NULL,
    part       BIGINT NOT NULL,
    bytes      BYTEA  NOT NULL,
    PRIMARY KEY (version_id, part)
);

-- One row per plugin. Each recorder of its runs writes it first: of two recorders one waits.
CREATE TABLE plugin_heads (
    plugin_id   ctext  NOT NULL PRIMARY KEY,
    kv_revision BIGINT NOT NULL, -- moves with every change of its keys and values
    gate        ctext  NOT NULL  -- what has been let through last
);

CREATE TABLE plugin_kv (
    plugin_id ctext NOT NULL,
    key       ctext NOT NULL,
    value     ctext NOT NULL, -- base64
    PRIMARY KEY (plugin_id, key)
);

CREATE TABLE plugin_runs (
    id              ctext  NOT NULL PRIMARY KEY,
    plugin_id       ctext  NOT NULL,
    organisation_id ctext  NOT NULL,
    account         BIGINT NOT NULL,
    sequence        BIGINT NOT NULL,
    event_id        ctext  NOT NULL,
    event_type      ctext  NOT NULL,
    contact_id      ctext  NOT NULL, -- runs about one contact go in order
    status          ctext  NOT NULL, -- a delivery's: pending, delivered, failed, dead
    attempts        ctext  NOT NULL, -- [[at, null, milliseconds, error], …]
    attempt_count   BIGINT NOT NULL,
    tries           BIGINT NOT NULL, -- attempts since it was made or last replayed
    replays         BIGINT NOT NULL DEFAULT 0, -- how often it was made due again; an attempt closes only what it was begun for
    next_attempt_at BIGINT,          -- null exactly when it is delivered or dead
    version_id      ctext,            -- what ran last, and what that used
    cpu_us          BIGINT,
    wall_us         BIGINT,
    host_calls      BIGINT,
    memory_bytes    BIGINT,
    created_at      BIGINT NOT NULL, -- equals the time inside the id
    updated_at      BIGINT NOT NULL
);

-- An event is owed to a plugin once.
CREATE UNIQUE INDEX plugin_runs_event ON plugin_runs (plugin_id, account, sequence);
CREATE INDEX plugin_runs_open ON plugin_runs (plugin_id, account, sequence) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX plugin_runs_list ON plugin_runs (plugin_id, id);
CREATE INDEX plugin_runs_status ON plugin_runs (plugin_id, status, id);
CREATE INDEX plugin_runs_age ON plugin_runs (created_at);

CREATE TABLE plugin_run_logs (
    id         ctext  NOT NULL PRIMARY KEY,
    plugin_id  ctext  NOT NULL,
    run_id     ctext  NOT NULL,
    version_id ctext  NOT NULL,
    attempt    BIGINT NOT NULL,
    lines      ctext  NOT NULL, -- [[at, level, text], …]
    created_at BIGINT NOT NULL
);

CREATE INDEX plugin_run_logs_list ON plugin_run_logs (plugin_id, id);
CREATE INDEX plugin_run_logs_run ON plugin_run_logs (run_id, id);
CREATE INDEX plugin_run_logs_age ON plugin_run_logs (created_at);

-- Effects that successful runs ask for, in the account whose event they handled.
CREATE TABLE plugin_effects (
    run_id        ctext  NOT NULL,
    ordinal       BIGINT NOT NULL,
    account       BIGINT NOT NULL,
    sequence      BIGINT NOT NULL,
    effect        ctext  NOT NULL, -- JSON
    status        ctext  NOT NULL,
    message_id    ctext,
    error_code    ctext,
    error_message ctext,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (run_id, ordinal)
);

CREATE INDEX plugin_effects_pending ON plugin_effects (account, sequence, run_id, ordinal) WHERE status = 'pending';
CREATE INDEX plugin_effects_age ON plugin_effects (created_at);
