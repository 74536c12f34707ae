//! Every setting there is: its key, the defaults of both modes, whether it must be given.
//!
//! Invariant: a key that is not in [`SETTINGS`] does not exist; reading one that is not here reads
//! nothing. `docs/configuration.md` describes each; a test compares.

use super::ServerMode;

/// One setting.
pub(super) struct SettingKey {
    /// Dotted, as in the file.
    pub(super) key: &'static str,
    dev: Option<&'static str>,
    serve: Option<&'static str>,
    /// What to say when `kabar serve` lacks it; `None` when it may be absent.
    pub(super) needed: Option<&'static str>,
}

impl SettingKey {
    const fn same(key: &'static str, default: &'static str) -> Self {
        Self::of(key, Some(default), Some(default))
    }

    const fn of(key: &'static str, dev: Option<&'static str>, serve: Option<&'static str>) -> Self {
        Self { key, dev, serve, needed: None }
    }

    const fn needed(self, why: &'static str) -> Self {
        Self { needed: Some(why), ..self }
    }

    /// The value when nobody gives one.
    pub(super) const fn default(&self, mode: ServerMode) -> Option<&'static str> {
        match mode {
            ServerMode::Dev => self.dev,
            ServerMode::Serve => self.serve,
        }
    }
}

/// All of them, in the order in which they are shown.
pub(super) const SETTINGS: &[SettingKey] = &[
    SettingKey::same("listen", "127.0.0.1:8080"),
    SettingKey::of("database_url", Some("sqlite://data/kabar.db"), None)
        .needed("must be set, like postgres://kabar:…@db.internal/kabar or sqlite:///var/lib/kabar/kabar.db"),
    SettingKey::of("redis_url", None, None),
    SettingKey::of("operator_token", None, None).needed("must be set to a secret of at least 16 characters"),
    SettingKey::of("whatsapp.app_secret", None, None)
        .needed("must be set to the app secret of your Meta app; it signs the webhooks"),
    SettingKey::of("whatsapp.verify_token", None, None)
        .needed("must be set to the verify token that you give Meta with the webhook's address"),
    SettingKey::of("whatsapp.base_url", None, Some("https://graph.facebook.com")),
    SettingKey::same("whatsapp.version", "v23.0"),
    SettingKey::same("whatsapp.settle_seconds", "60"),
    SettingKey::of("cluster.address", None, None),
    SettingKey::same("cluster.lease_seconds", "6"),
    SettingKey::same("cluster.alone_lease_seconds", "60"),
    SettingKey::same("dev.traffic_per_minute", "12"),
    SettingKey::of("outbound.allow_loopback", Some("true"), Some("false")),
    SettingKey::same("events.retention_days", "30"),
    SettingKey::same("hooks.cpu_ms", "50"),
    SettingKey::same("hooks.wall_ms", "2000"),
    SettingKey::same("hooks.memory_mib", "64"),
    SettingKey::same("hooks.log_kib", "64"),
    SettingKey::of("hooks.free.cpu_ms", None, None),
    SettingKey::of("hooks.free.wall_ms", None, None),
    SettingKey::of("hooks.free.memory_mib", None, None),
    SettingKey::of("hooks.free.log_kib", None, None),
    SettingKey::of("hooks.pro.cpu_ms", None, None),
    SettingKey::of("hooks.pro.wall_ms", None, None),
    SettingKey::of("hooks.pro.memory_mib", None, None),
    SettingKey::of("hooks.pro.log_kib", None, None),
    SettingKey::of("hooks.enterprise.cpu_ms", None, None),
    SettingKey::of("hooks.enterprise.wall_ms", None, None),
    SettingKey::of("hooks.enterprise.memory_mib", None, None),
    SettingKey::of("hooks.enterprise.log_kib", None, None),
    SettingKey::same("hooks.threads", "2"),
    SettingKey::same("hooks.concurrent_runs", "32"),
    SettingKey::same("hooks.component_bytes", "33554432"),
    SettingKey::of("hooks.cache_folder", None, None),
    SettingKey::same("limits.database_readers", "8"),
    SettingKey::same("limits.resident_conversations", "10000"),
    SettingKey::same("limits.idle_seconds", "600"),
    SettingKey::same("limits.waiting_polls", "10000"),
    SettingKey::same("limits.event_streams", "1000"),
    SettingKey::same("limits.event_streams_per_organization", "100"),
    SettingKey::same("limits.webhook_subscriptions_per_organization", "50"),
    SettingKey::same("limits.queued_commands", "4096"),
    SettingKey::same("limits.body_bytes", "262144"),
    SettingKey::same("limits.ingress_bytes", "3145728"),
    SettingKey::same("cors.allowed_origins", ""),
    SettingKey::same("log.format", "text"),
    SettingKey::same("log.level", "info"),
];

/// The setting of this key.
pub(super) fn setting(key: &str) -> Option<&'static SettingKey> {
    SETTINGS.iter().find(|known| known.key == key)
}

/// The name of a key in the environment.
pub(super) fn variable(key: &str) -> String {
    format!("KABAR_{}", key.replace('.', "__").to_uppercase())
}
