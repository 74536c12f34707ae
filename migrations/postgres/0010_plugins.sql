-- Plugins, their components, what they keep, and what became of the events that they got.

CREATE TABLE plugins (
    id               ctext  NOT NULL PRIMARY KEY,
    organisation_id  ctext  NOT NULL,
    name             ctext  NOT NULL,
    description      ctext,
    events           ctext  NOT NULL, -- JSON array of types
    accounts         ctext,            -- JSON array of phone_number_ids; null: all
    config           ctext  NOT NULL, -- JSON object of texts
    secrets          ctext  NOT NULL, -- JSON object of texts
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
    updated_at       BIGINT NOT NULL,
    row_version      BIGINT NOT NULL, -- how often it was written: a change is written only over the row that was read
    deleted_at       BIGINT           -- kept, so that other nodes learn of it
);

CREATE INDEX plugins_organisation ON plugins (organisation_id);

CREATE TABLE plugin_versions (
    id         ctext  NOT NULL PRIMARY KEY,
    plugin_id  ctext  NOT NULL,
    sha256     ctext  NOT NULL, -- hex
    size       BIGINT NOT NULL,
    imports    ctext  NOT NULL, -- JSON array
    exports    ctext  NOT NULL, -- JSON array
    compile_ms BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    whole      BIGINT NOT NULL  -- 1 once all of its parts are there
);

CREATE INDEX plugin_versions_plugin ON plugin_versions (plugin_id, id);
CREATE INDEX plugin_versions_unfinished ON plugin_versions (created_at) WHERE whole = 0;

-- A component's bytes, in parts that are written one by one: no write of anybody waits for megabytes.
CREATE TABLE plugin_parts (
    version_id ctext  NOT NULL,
    part       BIGINT NOT NULL,
    bytes      BYTEA  NOT NULL,
    PRIMARY KEY (version_id, part)
);

-- One row per plugin, which whoever records its runs writes first: of two of them one waits.
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

-- What successful runs want done, in the account whose event they handled.
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

-- Nodes keep plugins in memory, like the rest of the directory.
ALTER TABLE plugins ADD COLUMN directory_revision BIGINT NOT NULL DEFAULT 0;
CREATE INDEX plugins_directory ON plugins (directory_revision);
CREATE TRIGGER directory_change BEFORE INSERT OR UPDATE ON plugins
    FOR EACH ROW EXECUTE FUNCTION number_directory_change();
