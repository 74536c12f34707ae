//! Every setting: its key, the defaults of both modes, and whether it is required.
//!
//! Invariant: a key that is not in [`SETTINGS`] does not exist, and reading it reads nothing.
//! `docs/configuration.md` describes each key; a test compares the two.

use super::ServerMode;

/// One setting.
pub(super) struct SettingKey {
    /// Dotted, as in the file.
    pub(super) key: &'static str,
    dev: Option<&'static str>,
    serve: Option<&'static str>,
    /// Error message for a missing setting in `kabar serve`; `None` when it may be absent.
    pub(super) needed: Option<&'static str>,
}

impl SettingKey {
    const fn with_default(key: &'static str, default: &'static str) -> Self {
        Self::for_modes(key, Some(default), Some(default))
    }

    const fn for_modes(key: &'static str, dev: Option<&'static str>, serve: Option<&'static str>) -> Self {
        Self { key, dev, serve, needed: None }
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
    SettingKey::for_modes("redis_url", None, None),
    SettingKey::for_modes("operator_token", None, None)
        .with_requirement("must be set to a secret of at least 16 characters"),
    SettingKey::for_modes("whatsapp.app_secret", None, None)
        .with_requirement("must be set to the app secret of your Meta app; it signs the webhooks"),
    SettingKey::for_modes("whatsapp.verify_token", None, None).with_requirement(
        "must be set to the verify token that you give Meta: a secret of at least 16 characters",
    ),
    SettingKey::for_modes("whatsapp.base_url", None, Some("https://graph.facebook.com")),
    SettingKey::with_default("whatsapp.version", "v23.0"),
    SettingKey::with_default("whatsapp.settle_seconds", "60"),
    SettingKey::for_modes("cluster.address", None, None),
    SettingKey::with_default("cluster.lease_seconds", "6"),
    SettingKey::with_default("cluster.alone_lease_seconds", "60"),
    SettingKey::with_default("dev.traffic_per_minute", "12"),
    SettingKey::for_modes("outbound.allow_loopback", Some("true"), Some("false")),
    SettingKey::with_default("events.retention_days", "30"),
    SettingKey::with_default("retention.raw_days", "30"),
    SettingKey::with_default("hooks.cpu_ms", "50"),
    SettingKey::with_default("hooks.wall_ms", "2000"),
    SettingKey::with_default("hooks.memory_mib", "64"),
    SettingKey::with_default("hooks.log_kib", "64"),
    SettingKey::for_modes("hooks.free.cpu_ms", None, None),
    SettingKey::for_modes("hooks.free.wall_ms", None, None),
    SettingKey::for_modes("hooks.free.memory_mib", None, None),
    SettingKey::for_modes("hooks.free.log_kib", None, None),
    SettingKey::for_modes("hooks.pro.cpu_ms", None, None),
    SettingKey::for_modes("hooks.pro.wall_ms", None, None),
    SettingKey::for_modes("hooks.pro.memory_mib", None, None),
    SettingKey::for_modes("hooks.pro.log_kib", None, None),
    SettingKey::for_modes("hooks.enterprise.cpu_ms", None, None),
    SettingKey::for_modes("hooks.enterprise.wall_ms", None, None),
    SettingKey::for_modes("hooks.enterprise.memory_mib", None, None),
    SettingKey::for_modes("hooks.enterprise.log_kib", None, None),
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
    SettingKey::with_default("limits.queued_commands", "4096"),
    SettingKey::with_default("limits.body_bytes", "262144"),
    SettingKey::with_default("limits.ingress_bytes", "3145728"),
    SettingKey::with_default("limits.unauthenticated_bytes", "67108864"),
    SettingKey::with_default("limits.connections", "20000"),
    SettingKey::with_default("limits.connections_per_address", "10000"),
    SettingKey::with_default("limits.head_seconds", "30"),
    SettingKey::with_default("limits.connection_idle_seconds", "75"),
    SettingKey::with_default("cors.allowed_origins", ""),
    SettingKey::with_default("log.format", "text"),
    SettingKey::with_default("log.level", "info"),
];

/// Returns the setting of this key.
pub(super) fn define_key(key: &str) -> Option<&'static SettingKey> {
    SETTINGS.iter().find(|known| known.key == key)
}

/// Returns the environment variable of a key.
pub(super) fn variable_name(key: &str) -> String {
    format!("KABAR_{}", key.replace('.', "__").to_uppercase())
}
