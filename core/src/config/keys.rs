//! Every setting: its key, the defaults of both modes, and whether it is required.
//!
//! Invariant: a key that is not in [`SETTINGS`] does not exist, and reading it reads nothing. Every secret has a
//! second key, which names a file that holds it. `docs/configuration.md` describes each key; a test compares
//! the two.

use super::ServerMode;

/// One setting.
pub(super) struct SettingKey {
    /// Dotted, as in the file.
    pub(super) key: &'static str,
    dev: Option<&'static str>,
    serve: Option<&'static str>,
    /// Error message for a missing setting in `kabar serve`; `None` when it may be absent.
    pub(super) needed: Option<&'static str>,
    /// Key of the secret that the named file holds; `None` for all other settings.
    pub(super) file_of: Option<&'static str>,
    /// `true` when a running server can put a new value in force.
    pub(super) reloads: bool,
}

impl SettingKey {
    const fn with_default(key: &'static str, default: &'static str) -> Self {
        Self::for_modes(key, Some(default), Some(default))
    }

    const fn for_modes(key: &'static str, dev: Option<&'static str>, serve: Option<&'static str>) -> Self {
        Self { key, dev, serve, needed: None, file_of: None, reloads: false }
    }

    /// The setting that names a file with this secret.
    const fn for_file_of(secret: &'static str, key: &'static str) -> Self {
        Self { file_of: Some(secret), ..Self::for_modes(key, None, None) }
    }

    const fn reloadable(self) -> Self {
        Self { reloads: true, ..self }
    }

    const fn with_requirement(self, why: &'static str) -> Self {
        Self { needed: Some(why), ..self }
    }

    /// Returns the value of a setting that no source gives.
    pub(super) const fn default(&self, mode: ServerMode) -> Option<&'static str> {
        match mode {
            ServerMode::Dev => self.dev,
            ServerMode::Serve => self.serve,
        }
    }
}

/// All settings, in the order in which they are shown.
pub(super) const SETTINGS: &[SettingKey] = &[
    SettingKey::with_default("listen", "127.0.0.1:8080"),
    SettingKey::for_modes("public_url", None, None),
    SettingKey::for_modes("health_listen", None, None),
    SettingKey::for_modes("database_url", Some("sqlite://data/kabar.db"), None).with_requirement(
        "must be set, like postgres://kabar:…@db.internal/kabar or sqlite:///var/lib/kabar/kabar.db",
    ),
    SettingKey::for_file_of("database_url", "database_url_file"),
    SettingKey::for_modes("redis_url", None, None),
    SettingKey::for_file_of("redis_url", "redis_url_file"),
    SettingKey::for_modes("operator_token", None, None)
        .with_requirement("must be set to a secret of at least 16 characters")
        .reloadable(),
    SettingKey::for_file_of("operator_token", "operator_token_file").reloadable(),
    SettingKey::for_modes("whatsapp.app_secret", None, None)
        .with_requirement("must be set to the app secret of your Meta app; it signs the webhooks")
        .reloadable(),
    SettingKey::for_file_of("whatsapp.app_secret", "whatsapp.app_secret_file").reloadable(),
    SettingKey::for_modes("whatsapp.verify_token", None, None)
        .with_requirement(
            "must be set to the verify token that you give Meta: a secret of at least 16 characters",
        )
        .reloadable(),
    SettingKey::for_file_of("whatsapp.verify_token", "whatsapp.verify_token_file").reloadable(),
    SettingKey::for_modes("whatsapp.base_url", None, Some("https://graph.facebook.com")),
    SettingKey::with_default("whatsapp.version", "v23.0"),
    SettingKey::with_default("whatsapp.settle_seconds", "60"),
    SettingKey::for_modes("secrets.key_file", None, None).with_requirement(
        "must be set for PostgreSQL to a file with a key: one line of `openssl rand -base64 32`, the same on every \
         node; or give it as the systemd credential kabar-key",
    ),
    SettingKey::for_modes("cluster.address", None, None),
    SettingKey::with_default("cluster.lease_seconds", "6"),
    SettingKey::with_default("cluster.alone_lease_seconds", "60"),
    SettingKey::with_default("dev.traffic_per_minute", "12"),
    SettingKey::for_modes("outbound.allow_loopback", Some("true"), Some("false")),
    SettingKey::for_modes("events.retention_days", None, None),
    SettingKey::with_default("retention.events_days", "30"),
    SettingKey::for_modes("retention.messages_days", None, None),
    SettingKey::with_default("retention.raw_days", "30"),
    SettingKey::for_modes("retention.audit_days", None, None),
    SettingKey::with_default("hooks.cpu_ms", "50").reloadable(),
    SettingKey::with_default("hooks.wall_ms", "2000").reloadable(),
    SettingKey::with_default("hooks.memory_mib", "64").reloadable(),
    SettingKey::with_default("hooks.log_kib", "64").reloadable(),
    SettingKey::with_default("hooks.compiled_mib", "128").reloadable(),
    SettingKey::for_modes("hooks.free.cpu_ms", None, None).reloadable(),
    SettingKey::for_modes("hooks.free.wall_ms", None, None).reloadable(),
    SettingKey::for_modes("hooks.free.memory_mib", None, None).reloadable(),
    SettingKey::for_modes("hooks.free.log_kib", None, None).reloadable(),
    SettingKey::with_default("hooks.free.compiled_mib", "32").reloadable(),
    SettingKey::for_modes("hooks.pro.cpu_ms", None, None).reloadable(),
    SettingKey::for_modes("hooks.pro.wall_ms", None, None).reloadable(),
    SettingKey::for_modes("hooks.pro.memory_mib", None, None).reloadable(),
    SettingKey::for_modes("hooks.pro.log_kib", None, None).reloadable(),
    SettingKey::for_modes("hooks.pro.compiled_mib", None, None).reloadable(),
    SettingKey::for_modes("hooks.enterprise.cpu_ms", None, None).reloadable(),
    SettingKey::for_modes("hooks.enterprise.wall_ms", None, None).reloadable(),
    SettingKey::for_modes("hooks.enterprise.memory_mib", None, None).reloadable(),
    SettingKey::for_modes("hooks.enterprise.log_kib", None, None).reloadable(),
    SettingKey::for_modes("hooks.enterprise.compiled_mib", None, None).reloadable(),
    SettingKey::with_default("hooks.threads", "2"),
    SettingKey::with_default("hooks.concurrent_runs", "32"),
    SettingKey::with_default("hooks.component_bytes", "33554432"),
    SettingKey::for_modes("hooks.cache_folder", None, None),
    SettingKey::with_default("limits.database_readers", "8"),
    SettingKey::with_default("limits.resident_conversations", "10000"),
    SettingKey::with_default("limits.idle_seconds", "600"),
    SettingKey::with_default("limits.waiting_polls", "10000"),
    SettingKey::with_default("limits.event_streams", "1000"),
    SettingKey::with_default("limits.event_streams_per_organization", "100"),
    SettingKey::with_default("limits.webhook_subscriptions_per_organization", "50"),
    SettingKey::with_default("limits.component_bytes_per_organization", "1073741824"),
    SettingKey::with_default("limits.queued_commands", "4096"),
    SettingKey::with_default("limits.body_bytes", "262144"),
    SettingKey::with_default("limits.ingress_bytes", "3145728"),
    SettingKey::with_default("limits.unauthenticated_bytes", "16777216"),
    SettingKey::with_default("limits.connections", "20000"),
    SettingKey::with_default("limits.connections_per_address", "10000"),
    SettingKey::with_default("limits.head_seconds", "30"),
    SettingKey::with_default("limits.connection_idle_seconds", "75"),
    SettingKey::with_default("cors.allowed_origins", "").reloadable(),
    SettingKey::with_default("log.format", "text"),
    SettingKey::with_default("log.level", "info").reloadable(),
];

/// Returns the setting of this key.
pub(super) fn define_key(key: &str) -> Option<&'static SettingKey> {
    SETTINGS.iter().find(|known| known.key == key)
}

/// Returns the environment variable of a key.
pub(super) fn variable_name(key: &str) -> String {
    format!("KABAR_{}", key.replace('.', "__").to_uppercase())
}

/// Returns `true` for the key of a variable such as Kubernetes makes for a Service named `kabar`:
/// `KABAR_SERVICE_HOST`, `KABAR_SERVICE_PORT_HTTP`, `KABAR_PORT`, `KABAR_PORT_8080_TCP_ADDR`.
pub(super) fn is_service_variable(key: &str) -> bool {
    key == "port" || ["service_", "port_"].iter().any(|form| key.starts_with(form))
}
