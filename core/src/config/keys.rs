//! Every setting there is: its key, the defaults of both modes, whether it must be given.
//!
//! Invariant: a key that is not in [`SETTINGS`] does not exist; reading one that is not here reads
//! nothing. `docs/configuration.md` describes each; a test compares.

use super::Mode;

/// One setting.
pub(super) struct Setting {
    /// Dotted, as in the file.
    pub(super) key: &'static str,
    dev: Option<&'static str>,
    serve: Option<&'static str>,
    /// What to say when `kabar serve` lacks it; `None` when it may be absent.
    pub(super) needed: Option<&'static str>,
}

impl Setting {
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
    pub(super) const fn default(&self, mode: Mode) -> Option<&'static str> {
        match mode {
            Mode::Dev => self.dev,
            Mode::Serve => self.serve,
        }
    }
}

/// All of them, in the order in which they are shown.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::same("listen", "127.0.0.1:8080"),
    Setting::of("database_url", Some("sqlite://data/kabar.db"), None)
        .needed("must be set, like postgres://kabar:…@db.internal/kabar or sqlite:///var/lib/kabar/kabar.db"),
    Setting::of("redis_url", None, None),
    Setting::of("operator_token", None, None).needed("must be set to a secret of at least 16 characters"),
    Setting::of("whatsapp.app_secret", None, None)
        .needed("must be set to the app secret of your Meta app; it signs the webhooks"),
    Setting::of("whatsapp.verify_token", None, None)
        .needed("must be set to the verify token that you give Meta with the webhook's address"),
    Setting::of("whatsapp.base_url", None, Some("https://graph.facebook.com")),
    Setting::same("whatsapp.version", "v23.0"),
    Setting::same("whatsapp.settle_seconds", "60"),
    Setting::of("cluster.address", None, None),
    Setting::same("cluster.lease_seconds", "6"),
    Setting::same("cluster.alone_lease_seconds", "60"),
    Setting::same("dev.traffic_per_minute", "12"),
    Setting::of("outbound.allow_loopback", Some("true"), Some("false")),
    Setting::same("events.retention_days", "30"),
    Setting::same("hooks.cpu_ms", "50"),
    Setting::same("hooks.wall_ms", "2000"),
    Setting::same("hooks.memory_mib", "64"),
    Setting::same("hooks.log_kib", "64"),
    Setting::of("hooks.free.cpu_ms", None, None),
    Setting::of("hooks.free.wall_ms", None, None),
    Setting::of("hooks.free.memory_mib", None, None),
    Setting::of("hooks.free.log_kib", None, None),
    Setting::of("hooks.pro.cpu_ms", None, None),
    Setting::of("hooks.pro.wall_ms", None, None),
    Setting::of("hooks.pro.memory_mib", None, None),
    Setting::of("hooks.pro.log_kib", None, None),
    Setting::of("hooks.enterprise.cpu_ms", None, None),
    Setting::of("hooks.enterprise.wall_ms", None, None),
    Setting::of("hooks.enterprise.memory_mib", None, None),
    Setting::of("hooks.enterprise.log_kib", None, None),
    Setting::same("hooks.threads", "2"),
    Setting::same("hooks.concurrent_runs", "32"),
    Setting::same("hooks.component_bytes", "33554432"),
    Setting::of("hooks.cache_folder", None, None),
    Setting::same("limits.database_readers", "8"),
    Setting::same("limits.resident_conversations", "10000"),
    Setting::same("limits.idle_seconds", "600"),
    Setting::same("limits.waiting_polls", "10000"),
    Setting::same("limits.event_streams", "1000"),
    Setting::same("limits.event_streams_per_organization", "100"),
    Setting::same("limits.webhook_subscriptions_per_organization", "50"),
    Setting::same("limits.queued_commands", "4096"),
    Setting::same("limits.body_bytes", "262144"),
    Setting::same("limits.ingress_bytes", "3145728"),
    Setting::same("cors.allowed_origins", ""),
    Setting::same("log.format", "text"),
    Setting::same("log.level", "info"),
];

/// The setting of this key.
pub(super) fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|known| known.key == key)
}

/// The name of a key in the environment.
pub(super) fn variable(key: &str) -> String {
    format!("KABAR_{}", key.replace('.', "__").to_uppercase())
}
