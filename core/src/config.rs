//! Settings: their sources, their valid values, and their display.
//!
//! Owns every setting name. Sources in rising order: the mode's defaults, the file `kabar.toml`, the
//! environment (`KABAR_` and the upper-case key, `__` between levels), flags.
//! Invariants: a `Settings` value is valid for its mode. All mistakes are reported together, by the file's
//! key and the environment's name. A secret is never part of a report. This module opens nothing but the files
//! that settings are read from, and creates no secrets: `kabar dev` creates those that are absent.

mod hooks;
mod keys;
mod masked;
mod reader;
mod retention;
mod secret_file;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::account::Secret;
use crate::encryption::KeySource;

pub use hooks::{HookExceptions, HookLimits, HookSettings};
pub use retention::RetentionSettings;
pub use values::{DatabaseUrl, LogFormat, RedisUrl};

/// Mode in which the server runs; it sets the defaults and the required settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerMode {
    /// `kabar dev`: every setting has a default, or the server creates its value.
    Dev,
    /// `kabar serve`: secrets and the database must be set.
    Serve,
}

/// Sources of settings, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct SettingSources {
    /// A file that must exist. `None`: `kabar.toml` of the working directory, if there is one.
    pub file: Option<PathBuf>,
    /// Replaces the process's environment.
    pub environment: Option<HashMap<String, String>>,
    /// Key and value of flags; they override all other sources.
    pub flags: BTreeMap<String, String>,
}

/// One mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key in the file, dotted; empty when the source itself cannot be read.
    pub key: String,
    /// The mistake and its remedy; never the value of a secret.
    pub reason: String,
}

impl SettingProblem {
    /// Returns the environment variable of this setting.
    #[must_use]
    pub fn variable(&self) -> String {
        keys::variable_name(&self.key)
    }
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "{} ({}): {}", self.key, self.variable(), self.reason)
    }
}

/// All mistakes, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblems(pub Vec<SettingProblem>);

impl fmt::Display for SettingProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for SettingProblems {}

/// A setting whose value has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedSetting {
    /// Its key, dotted.
    pub key: &'static str,
    /// `true` when a running server can put the new value in force.
    pub reloads: bool,
}

/// The server's settings, valid for the mode they were loaded for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Mode for which they were read.
    pub mode: ServerMode,
    /// Address on which the HTTP server listens.
    pub listen: SocketAddr,
    /// Address at which clients reach this server, without a slash at the end; `None` when it is not known.
    pub public_url: Option<String>,
    /// Address of a second HTTP server that answers only health checks and metrics; `None` for none.
    pub health_listen: Option<SocketAddr>,
    /// Database that holds all durable state.
    pub database_url: DatabaseUrl,
    /// Redis server that the nodes share; `None`: this node uses its own memory only.
    pub redis_url: Option<RedisUrl>,
    /// Token of the operator API; always set in [`ServerMode::Serve`].
    pub operator_token: Option<Secret>,
    /// Meta's Cloud API.
    pub whatsapp: WhatsAppSettings,
    /// Keys of the secrets in the database; `None` only for PostgreSQL in [`ServerMode::Dev`].
    pub keys: Option<KeySource>,
    /// Cluster of nodes.
    pub cluster: ClusterSettings,
    /// Settings of `kabar dev` only.
    pub dev: DevSettings,
    /// Calls to addresses that tenants name.
    pub outbound: OutboundSettings,
    /// Retention of what is neither a message nor an event.
    pub retention: RetentionSettings,
    /// Plugins.
    pub hooks: HookSettings,
    /// Bounds of memory, queues and bodies.
    pub limits: LimitSettings,
    /// Access by browsers.
    pub cors: CorsSettings,
    /// Logs.
    pub log: LogSettings,
    /// Files that secrets were read from, by the key of the secret.
    pub secret_files: BTreeMap<&'static str, PathBuf>,
    /// Environment variables such as Kubernetes makes for a Service of the server's name: no settings.
    pub passed_over: Vec<String>,
    /// Delays of awaits in a debug build. For tests; not a setting.
    #[cfg(debug_assertions)]
    pub test_delays: Option<crate::surroundings::SeededDelays>,
}

/// Meta's Cloud API and its webhooks.
#[derive(Debug, Clone)]
pub struct WhatsAppSettings {
    /// Keys of the webhooks' signatures, one or two, the newest first; empty only in [`ServerMode::Dev`].
    pub app_secrets: Vec<Secret>,
    /// Token of the subscription handshake; always set in [`ServerMode::Serve`].
    pub verify_token: Option<Secret>,
    /// Base URL of the Graph API, without a slash at the end. `None` only in [`ServerMode::Dev`]: the
    /// simulator in the same process.
    pub base_url: Option<String>,
    /// Version of the Graph API, the path's first segment.
    pub version: String,
    /// Time that a send with a lost response waits for WhatsApp's echo before it is tried again.
    pub settle: Duration,
}

/// The other nodes on the same database.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Address at which the other nodes reach this one, without a slash at the end; `None` when there are no
    /// other nodes.
    pub address: Option<String>,
    /// Time that the other nodes wait before they take over from a silent node.
    pub lease: Duration,
    /// Time that a server without an address answers from memory while PostgreSQL cannot be reached, and that
    /// its replacement waits.
    pub alone_lease: Duration,
}

/// Settings of `kabar dev` only.
#[derive(Debug, Clone)]
pub struct DevSettings {
    /// Simulated inbound messages per minute; 0 for none.
    pub traffic_per_minute: u32,
}

/// Calls to addresses that tenants name.
#[derive(Debug, Clone)]
pub struct OutboundSettings {
    /// `true` when plain http and loopback addresses are allowed.
    pub allow_loopback: bool,
}

/// Bounds of memory, queues and bodies.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Connections that read from the database.
    pub database_readers: u32,
    /// Conversations that one account keeps in memory.
    pub resident_conversations: usize,
    /// Time that an unused account stays in memory.
    pub idle: Duration,
    /// Long polls that may wait at once, in the whole server.
    pub waiting_polls: usize,
    /// Streams of events that may be open at once, in the whole server.
    pub event_streams: usize,
    /// Streams of events that one tenant may have open at once.
    pub tenant_event_streams: usize,
    /// Webhook subscriptions that one tenant may have.
    pub tenant_subscriptions: usize,
    /// Bytes of all components of one tenant, at most.
    pub tenant_component_bytes: u64,
    /// Writes that may wait at once, in the whole server.
    pub queued_commands: usize,
    /// Bytes of a JSON body, at most.
    pub body_bytes: usize,
    /// Bytes of a webhook body, at most.
    pub ingress_bytes: usize,
    /// Bytes that the bodies of all requests that are not authenticated yet have together, at most.
    pub unauthenticated_bytes: usize,
    /// Connections of clients at a time, if the process may open as many files.
    pub connections: usize,
    /// Connections of one client address at a time.
    pub address_connections: usize,
    /// Longest time from the acceptance of a connection, or the first byte of a request, to the end of its head.
    pub head: Duration,
    /// Time for which a connection without a request lives.
    pub connection_idle: Duration,
}

/// Access by browsers.
#[derive(Debug, Clone)]
pub struct CorsSettings {
    /// Origins that may call the API; empty when only the server's own pages may.
    pub allowed_origins: Vec<String>,
}

/// Logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Format of a line.
    pub format: LogFormat,
    /// A level, or directives such as `info,kabar_core=debug`.
    pub level: String,
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// All [`SettingProblem`]s together: unknown keys, invalid values, settings that the mode requires.
    pub fn load(mode: ServerMode, sources: &SettingSources) -> Result<Self, SettingProblems> {
        let mut reader = reader::SettingsReader::merge_sources(mode, sources)
            .map_err(|problem| SettingProblems(vec![problem]))?;
        let settings = Self::read(mode, &mut reader);
        match (settings, reader.into_problems()) {
            (Some(settings), problems) if problems.is_empty() => Ok(settings),
            (_, problems) => Err(SettingProblems(problems)),
        }
    }

    /// Reads each setting once. Returns at the end only, so that no problem hides another.
    fn read(mode: ServerMode, from: &mut reader::SettingsReader) -> Option<Self> {
        from.refuse_unknown_keys();
        let listen = from.read_parsed("listen", values::parse_listen);
        let public_url = from.read_optional("public_url", values::base_url);
        let health_listen = from.read_optional("health_listen", values::parse_listen);
        let database_url = from.read_parsed("database_url", DatabaseUrl::parse);
        let redis_url = from.read_optional("redis_url", RedisUrl::parse);
        let operator_token = from.read_secret("operator_token", values::secret_for(mode));
        let whatsapp = WhatsAppSettings::read(mode, from);
        let keys = database_url.as_ref().and_then(|url| from.read_key_source(url));
        let cluster = ClusterSettings::read(from);
        let dev = from.read_count("dev.traffic_per_minute", 0..=6_000);
        let allow_loopback = from.read_switch("outbound.allow_loopback");
        let retention = RetentionSettings::read(from);
        let hooks = HookSettings::read_settings(from);
        let limits = LimitSettings::read(from);
        let allowed_origins = from.read_list("cors.allowed_origins", values::parse_origin);
        let format = from.read_parsed("log.format", LogFormat::parse);
        let level = from.read_parsed("log.level", values::parse_level);
        Some(Self {
            mode,
            listen: listen?,
            public_url,
            health_listen,
            database_url: database_url?,
            redis_url,
            operator_token,
            whatsapp: whatsapp?,
            keys,
            cluster: cluster?,
            dev: DevSettings { traffic_per_minute: u32::try_from(dev?).ok()? },
            outbound: OutboundSettings { allow_loopback: allow_loopback? },
            retention: retention?,
            hooks: hooks?,
            limits: limits?,
            cors: CorsSettings { allowed_origins: allowed_origins? },
            log: LogSettings { format: format?, level: level? },
            secret_files: from.secret_files(),
            passed_over: from.passed_over(),
            #[cfg(debug_assertions)]
            test_delays: from.test_delays(),
        })
    }

    /// Returns the settings whose values differ in `newer`.
    #[must_use]
    pub fn changed_keys(&self, newer: &Self) -> Vec<ChangedSetting> {
        masked::changed_keys(self, newer)
    }

    /// Renders the settings as a file, with secrets masked, as `kabar check-config` prints it.
    #[must_use]
    pub fn masked(&self) -> String {
        masked::render_toml(self)
    }
}

impl WhatsAppSettings {
    fn read(mode: ServerMode, from: &mut reader::SettingsReader) -> Option<Self> {
        let app_secrets =
            from.parse_secret("whatsapp.app_secret", values::app_secrets_for(mode)).unwrap_or_default();
        let verify_token = from.read_secret("whatsapp.verify_token", values::secret_for(mode));
        let base_url = from.read_optional("whatsapp.base_url", values::base_url);
        let version = from.read_parsed("whatsapp.version", values::graph_version);
        let settle = from.read_count("whatsapp.settle_seconds", 1..=86_400).map(Duration::from_secs);
        Some(Self { app_secrets, verify_token, base_url, version: version?, settle: settle? })
    }
}

impl ClusterSettings {
    fn read(from: &mut reader::SettingsReader) -> Option<Self> {
        let address = from.read_optional("cluster.address", values::base_url);
        let lease = from.read_count("cluster.lease_seconds", 2..=300).map(Duration::from_secs);
        let alone_lease = from.read_count("cluster.alone_lease_seconds", 5..=3_600).map(Duration::from_secs);
        Some(Self { address, lease: lease?, alone_lease: alone_lease? })
    }
}

impl LimitSettings {
    fn read(from: &mut reader::SettingsReader) -> Option<Self> {
        let database_readers = from.read_count("limits.database_readers", 1..=1_000);
        let resident_conversations = from.read_count("limits.resident_conversations", 100..=10_000_000);
        let idle_seconds = from.read_count("limits.idle_seconds", 1..=604_800);
        let waiting_polls = from.read_count("limits.waiting_polls", 0..=1_000_000);
        let event_streams = from.read_count("limits.event_streams", 0..=1_000_000);
        let tenant_event_streams = from.read_count("limits.event_streams_per_organization", 0..=1_000_000);
        let tenant_subscriptions =
            from.read_count("limits.webhook_subscriptions_per_organization", 0..=10_000);
        let tenant_component_bytes =
            from.read_count("limits.component_bytes_per_organization", 0..=1_099_511_627_776);
        let queued_commands = from.read_count("limits.queued_commands", 1..=1_000_000);
        let body_bytes = from.read_count("limits.body_bytes", 1_024..=16_777_216);
        let ingress_bytes = from.read_count("limits.ingress_bytes", 65_536..=67_108_864);
        let unauthenticated_bytes = from.read_count("limits.unauthenticated_bytes", 65_536..=4_294_967_296);
        let connections = from.read_count("limits.connections", 16..=1_000_000);
        let address_connections = from.read_count("limits.connections_per_address", 1..=1_000_000);
        let head = from.read_count("limits.head_seconds", 1..=300).map(Duration::from_secs);
        let connection_idle =
            from.read_count("limits.connection_idle_seconds", 1..=3_600).map(Duration::from_secs);
        Some(Self {
            database_readers: u32::try_from(database_readers?).ok()?,
            resident_conversations: usize::try_from(resident_conversations?).ok()?,
            idle: Duration::from_secs(idle_seconds?),
            waiting_polls: usize::try_from(waiting_polls?).ok()?,
            event_streams: usize::try_from(event_streams?).ok()?,
            tenant_event_streams: usize::try_from(tenant_event_streams?).ok()?,
            tenant_subscriptions: usize::try_from(tenant_subscriptions?).ok()?,
            tenant_component_bytes: tenant_component_bytes?,
            queued_commands: usize::try_from(queued_commands?).ok()?,
            body_bytes: usize::try_from(body_bytes?).ok()?,
            ingress_bytes: usize::try_from(ingress_bytes?).ok()?,
            unauthenticated_bytes: usize::try_from(unauthenticated_bytes?).ok()?,
            connections: usize::try_from(connections?).ok()?,
            address_connections: usize::try_from(address_connections?).ok()?,
            head: head?,
            connection_idle: connection_idle?,
        })
    }
}
