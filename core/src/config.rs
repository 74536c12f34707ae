//! Settings: where they come from, what they may be, and how they are shown.
//!
//! Owns every name that an operator may write. Sources in rising order: the mode's defaults, the
//! file `kabar.toml`, the environment (`KABAR_` and the upper-case key, `__` between levels), flags.
//! Invariants: a `Settings` in hand is valid for its mode; every mistake is reported at once, by
//! the file's key and the environment's name; a secret is never part of a report.
//! It opens nothing and makes no secrets: `kabar dev` makes those that are absent.

mod hooks;
mod keys;
mod masked;
mod reader;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::account::Secret;

pub use hooks::{HookExceptions, HookLimits, HookSettings};
pub use values::{DatabaseUrl, LogFormat, RedisUrl};

/// How the server is run; it decides defaults and what must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerMode {
    /// `kabar dev`: everything has a default, or is made by the server.
    Dev,
    /// `kabar serve`: secrets and the database must be named.
    Serve,
}

/// Where settings are read from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct SettingSources {
    /// A file that must exist. `None`: `kabar.toml` of the working directory, if there is one.
    pub file: Option<PathBuf>,
    /// Instead of the process's environment.
    pub environment: Option<HashMap<String, String>>,
    /// Key and value of flags; they win over everything.
    pub flags: BTreeMap<String, String>,
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key in the file, dotted; empty when the source itself cannot be read.
    pub key: String,
    /// What is wrong and what to do; never the value of a secret.
    pub reason: String,
}

impl SettingProblem {
    /// The name of this setting in the environment.
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

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblems(pub Vec<SettingProblem>);

impl fmt::Display for SettingProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for SettingProblems {}

/// The server's settings, valid for the mode they were loaded for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the HTTP surface listens.
    pub listen: SocketAddr,
    /// Where everything durable is kept.
    pub database_url: DatabaseUrl,
    /// The memory that nodes share; `None`: this node keeps to its own.
    pub redis_url: Option<RedisUrl>,
    /// Opens the operator API; always there for [`ServerMode::Serve`].
    pub operator_token: Option<Secret>,
    /// Meta's side.
    pub whatsapp: WhatsAppSettings,
    /// Other nodes.
    pub cluster: ClusterSettings,
    /// What only `kabar dev` reads.
    pub dev: DevSettings,
    /// Calls to addresses that tenants name.
    pub outbound: OutboundSettings,
    /// The event log.
    pub events: EventSettings,
    /// Plugins.
    pub hooks: HookSettings,
    /// Bounds of memory, queues and bodies.
    pub limits: LimitSettings,
    /// Browsers.
    pub cors: CorsSettings,
    /// Logs.
    pub log: LogSettings,
    /// Which awaits of a debug build are delayed. Of tests; not a setting.
    #[cfg(debug_assertions)]
    pub test_delays: Option<crate::surroundings::SeededDelays>,
}

/// Meta's Cloud API and its webhooks.
#[derive(Debug, Clone)]
pub struct WhatsAppSettings {
    /// Key of the webhooks' signatures; always there for [`ServerMode::Serve`].
    pub app_secret: Option<Secret>,
    /// Answer to the subscription handshake; always there for [`ServerMode::Serve`].
    pub verify_token: Option<Secret>,
    /// Base address of the Graph API, without a slash at the end. `None` only for [`ServerMode::Dev`]:
    /// the simulator in the same process.
    pub base_url: Option<String>,
    /// Version of the Graph API, the path's first segment.
    pub version: String,
    /// How long a send whose answer was lost waits for WhatsApp's echo before it is tried again.
    pub settle: Duration,
}

/// Other nodes on the same database.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Where they reach this one, without a slash at the end; `None`: there are no others.
    pub address: Option<String>,
    /// How long they wait before they take over from a node that has fallen silent.
    pub lease: Duration,
    /// How long a server without an address answers from memory while PostgreSQL cannot be reached, and one that
    /// comes in its place waits.
    pub alone_lease: Duration,
}

/// What only `kabar dev` reads.
#[derive(Debug, Clone)]
pub struct DevSettings {
    /// Simulated inbound messages per minute; 0 is silence.
    pub traffic_per_minute: u32,
}

/// Calls to addresses that tenants name.
#[derive(Debug, Clone)]
pub struct OutboundSettings {
    /// Whether plain http and loopback addresses are allowed.
    pub allow_loopback: bool,
}

/// The event log.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// How long events are kept.
    pub retention: Duration,
}

/// Bounds of memory, queues and bodies.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Connections that read from the database.
    pub database_readers: u32,
    /// Conversations that one account keeps in memory.
    pub resident_conversations: usize,
    /// How long an account nobody asks for stays in memory.
    pub idle: Duration,
    /// Long polls that may wait at once, in the whole server.
    pub waiting_polls: usize,
    /// Streams of events that may be open at once, in the whole server.
    pub event_streams: usize,
    /// Streams of events that one tenant may have open at once.
    pub tenant_event_streams: usize,
    /// Webhook subscriptions that one tenant may have.
    pub tenant_subscriptions: usize,
    /// Writes that may wait at once, in the whole server.
    pub queued_commands: usize,
    /// Largest JSON body.
    pub body_bytes: usize,
    /// Largest webhook body.
    pub ingress_bytes: usize,
}

/// Browsers.
#[derive(Debug, Clone)]
pub struct CorsSettings {
    /// Origins that may call the API; empty is none but the server's own pages.
    pub allowed_origins: Vec<String>,
}

/// Logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Shape of a line.
    pub format: LogFormat,
    /// A level, or directives such as `info,kabar_core=debug`.
    pub level: String,
}

impl Settings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every [`SettingProblem`] at once: unknown keys, invalid values, settings that the mode requires.
    pub fn load(mode: ServerMode, sources: &SettingSources) -> Result<Self, SettingProblems> {
        let mut reader = reader::SettingsReader::merge_sources(mode, sources)
            .map_err(|problem| SettingProblems(vec![problem]))?;
        let settings = Self::read(mode, &mut reader);
        match (settings, reader.into_problems()) {
            (Some(settings), problems) if problems.is_empty() => Ok(settings),
            (_, problems) => Err(SettingProblems(problems)),
        }
    }

    /// Reads each setting once. Nothing returns early, so that no problem hides another.
    fn read(mode: ServerMode, from: &mut reader::SettingsReader) -> Option<Self> {
        from.refuse_unknown_keys();
        let listen = from.read_parsed("listen", values::parse_listen);
        let database_url = from.read_parsed("database_url", DatabaseUrl::parse);
        let redis_url = from.read_optional("redis_url", RedisUrl::parse);
        let operator_token = from.read_secret("operator_token", values::operator_token_for(mode));
        let whatsapp = WhatsAppSettings::read(from);
        let cluster = ClusterSettings::read(from);
        let dev = from.read_count("dev.traffic_per_minute", 0..=6_000);
        let allow_loopback = from.read_switch("outbound.allow_loopback");
        let retention_days = from.read_count("events.retention_days", 1..=3_650);
        let hooks = HookSettings::read_settings(from);
        let limits = LimitSettings::read(from);
        let allowed_origins = from.read_list("cors.allowed_origins", values::parse_origin);
        let format = from.read_parsed("log.format", LogFormat::parse);
        let level = from.read_parsed("log.level", values::parse_level);
        Some(Self {
            listen: listen?,
            database_url: database_url?,
            redis_url,
            operator_token,
            whatsapp: whatsapp?,
            cluster: cluster?,
            dev: DevSettings { traffic_per_minute: u32::try_from(dev?).ok()? },
            outbound: OutboundSettings { allow_loopback: allow_loopback? },
            events: EventSettings { retention: Duration::from_secs(retention_days? * 86_400) },
            hooks: hooks?,
            limits: limits?,
            cors: CorsSettings { allowed_origins: allowed_origins? },
            log: LogSettings { format: format?, level: level? },
            #[cfg(debug_assertions)]
            test_delays: from.test_delays(),
        })
    }

    /// The settings as a file, with secrets masked; what `kabar check-config` prints.
    #[must_use]
    pub fn masked(&self) -> String {
        masked::render_toml(self)
    }
}

impl WhatsAppSettings {
    fn read(from: &mut reader::SettingsReader) -> Option<Self> {
        let app_secret = from.read_secret("whatsapp.app_secret", values::any_secret);
        let verify_token = from.read_secret("whatsapp.verify_token", values::any_secret);
        let base_url = from.read_optional("whatsapp.base_url", values::base_url);
        let version = from.read_parsed("whatsapp.version", values::graph_version);
        let settle = from.read_count("whatsapp.settle_seconds", 1..=86_400).map(Duration::from_secs);
        Some(Self { app_secret, verify_token, base_url, version: version?, settle: settle? })
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
        let queued_commands = from.read_count("limits.queued_commands", 1..=1_000_000);
        let body_bytes = from.read_count("limits.body_bytes", 1_024..=16_777_216);
        let ingress_bytes = from.read_count("limits.ingress_bytes", 65_536..=67_108_864);
        Some(Self {
            database_readers: u32::try_from(database_readers?).ok()?,
            resident_conversations: usize::try_from(resident_conversations?).ok()?,
            idle: Duration::from_secs(idle_seconds?),
            waiting_polls: usize::try_from(waiting_polls?).ok()?,
            event_streams: usize::try_from(event_streams?).ok()?,
            tenant_event_streams: usize::try_from(tenant_event_streams?).ok()?,
            tenant_subscriptions: usize::try_from(tenant_subscriptions?).ok()?,
            queued_commands: usize::try_from(queued_commands?).ok()?,
            body_bytes: usize::try_from(body_bytes?).ok()?,
            ingress_bytes: usize::try_from(ingress_bytes?).ok()?,
        })
    }
}
