-- Plugins, their components, what they keep, and what became of the events that they got.

CREATE TABLE plugins (
    id               TEXT    NOT NULL PRIMARY KEY,
    organisation_id  TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    description      TEXT,
    events           TEXT    NOT NULL, -- JSON array of types
    accounts         TEXT,             -- JSON array of phone_number_ids; null: all
    config           TEXT    NOT NULL, -- JSON object of texts
    secrets          TEXT    NOT NULL, -- JSON object of texts
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
    whole      INTEGER NOT NULL  -- 1 once all of its parts are there
) STRICT;

CREATE INDEX plugin_versions_plugin ON plugin_versions (plugin_id, id);
CREATE INDEX plugin_versions_unfinished ON plugin_versions (created_at) WHERE whole = 0;

-- A component's bytes, in parts that are written one by one: no write of anybody waits for megabytes.
CREATE TABLE plugin_parts (
    version_id TEXT    NOT NULL,
    part       INTEGER NOT NULL,
    bytes      BLOB    NOT NULL,
    PRIMARY KEY (version_id, part)
) STRICT;

-- One row per plugin, which whoever records its runs writes first: of two of them one waits.
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

-- What successful runs want done, in the account whose event they handled.
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
