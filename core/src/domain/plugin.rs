//! A plugin: a tenant's component that gets events, and the versions of it.
//!
//! Invariants: it gets events exactly while it is enabled, has an active version and was not disabled;
//! a paused one gets a probe now and then. Secrets are written and never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::account::{PhoneNumberId, Secret};
use super::allowed_hosts::AllowedHosts;
use super::event::EventTypes;
use super::row_version::RowVersion;
use super::time::Timestamp;
use crate::ids::{OrganisationId, PluginId, PluginVersionId};

/// Characters of a name.
pub const NAME_CHARS: RangeInclusive<usize> = 1..=100;
/// Characters of a description.
pub const DESCRIPTION_CHARS: RangeInclusive<usize> = 1..=1000;
/// Entries of `config`, and of `secrets`.
pub const ENTRIES_MAX: usize = 64;
/// Characters of a key of `config` or `secrets`.
pub const ENTRY_KEY_CHARS: RangeInclusive<usize> = 1..=128;
/// Bytes of all keys and values of `config`, and of `secrets`.
pub const ENTRIES_BYTES_MAX: usize = 32 * 1024;
/// Hosts that a plugin may call.
pub const HOSTS_MAX: usize = 32;
/// Accounts that a plugin may name.
pub const ACCOUNTS_MAX: usize = 100;
/// Plugins of one organisation.
pub const PLUGINS_MAX: usize = 50;
/// Versions that a plugin keeps; the oldest that is neither active nor the one before goes first.
pub const VERSIONS_KEPT: usize = 10;

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Something that a component may import: an interface of `kabar:hooks`, by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Capability { $($(#[$doc])* $name,)* }

        impl Capability {
            /// All of them, in the contract's order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The contract's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Reads the contract's word.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }

            fn bit(self) -> u16 {
                let place = Self::ALL.iter().position(|known| *known == self);
                let place = place.and_then(|place| u32::try_from(place).ok());
                place.and_then(|place| 1_u16.checked_shl(place)).unwrap_or(0)
            }
        }
    };
}

capabilities! {
    /// Lines of log.
    Log = "log",
    /// The plugin's own settings.
    Config = "config",
    /// The plugin's own secrets.
    Secrets = "secrets",
    /// Durable keys and values.
    Kv = "kv",
    /// Calls to the allowed hosts.
    Http = "http",
    /// Sending messages.
    Messages = "messages",
    /// Changing conversations.
    Conversations = "conversations",
    /// The time.
    Clock = "clock",
    /// Chance.
    Random = "random",
}

/// Some of the capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Every one.
    #[must_use]
    pub fn all_granted() -> Self {
        Capability::ALL.iter().copied().collect()
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains_capability(self, one: Capability) -> bool {
        self.0 & one.bit() != 0
    }

    /// These without that one.
    #[must_use]
    pub fn without_capability(self, one: Capability) -> Self {
        Self(self.0 & !one.bit())
    }

    /// Each of them, in the contract's order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |one| self.contains_capability(*one))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(some: I) -> Self {
        Self(some.into_iter().fold(0, |bits, one| bits | one.bit()))
    }
}

/// How a plugin fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PluginState {
    /// Well, as far as is known.
    Active,
    /// Too many of its runs failed: one is tried each minute.
    Paused,
    /// Given up until somebody changes something.
    Disabled,
}

impl PluginState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Disabled];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// How a plugin fares, since when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginHealth {
    /// How.
    pub state: PluginState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not active; for a human.
    pub reason: Option<Arc<str>>,
    /// Whether the operator disabled it, which the tenant cannot undo.
    pub by_operator: bool,
}

impl PluginHealth {
    /// Active since then.
    #[must_use]
    pub const fn active_since(since: Timestamp) -> Self {
        Self { state: PluginState::Active, since, reason: None, by_operator: false }
    }

    /// Paused because its runs fail.
    #[must_use]
    pub fn paused_since(since: Timestamp) -> Self {
        let reason = "at least half of its runs within five minutes failed; one is tried each minute";
        Self { state: PluginState::Paused, reason: Some(reason.into()), ..Self::active_since(since) }
    }

    /// Disabled because it was paused for too long.
    #[must_use]
    pub fn given_up(since: Timestamp) -> Self {
        let reason =
            "it was paused for 24 hours and no probe succeeded; activate a version that works, or enable it";
        Self { state: PluginState::Disabled, reason: Some(reason.into()), ..Self::active_since(since) }
    }

    /// Disabled by the operator.
    #[must_use]
    pub fn forbidden_since(since: Timestamp, reason: Option<Arc<str>>) -> Self {
        let reason = reason.unwrap_or_else(|| "disabled by the operator".into());
        Self {
            state: PluginState::Disabled,
            reason: Some(reason),
            by_operator: true,
            ..Self::active_since(since)
        }
    }
}

/// Keys and values of a tenant's own.
pub type PluginEntries<V> = BTreeMap<Arc<str>, V>;

/// A plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct Plugin {
    /// `plg_…`.
    pub id: PluginId,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// For a human.
    pub name: Arc<str>,
    /// For a human.
    pub description: Option<Arc<str>>,
    /// What it wants.
    pub events: EventTypes,
    /// Of which numbers; `None`: of all.
    pub accounts: Option<Arc<[PhoneNumberId]>>,
    /// What its components may read.
    pub config: Arc<PluginEntries<Arc<str>>>,
    /// What its components may read and nobody else.
    pub secrets: Arc<PluginEntries<Secret>>,
    /// Whom its components may call.
    pub allowed_hosts: AllowedHosts,
    /// What its components may import; `None`: everything.
    pub capabilities: Option<Capabilities>,
    /// Whether its tenant wants it to run.
    pub enabled: bool,
    /// How it fares.
    pub standing: PluginHealth,
    /// What runs.
    pub active_version: Option<PluginVersionId>,
    /// What ran before, kept to go back to.
    pub previous_version: Option<PluginVersionId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// How often the row was written.
    pub row_version: RowVersion,
}

/// Without config and secrets.
impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Whether it gets events, be it only to find out how it fares.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.enabled && self.active_version.is_some() && self.standing.state != PluginState::Disabled
    }

    /// Whether it wants events of this number.
    #[must_use]
    pub fn hears_event(&self, number: &PhoneNumberId) -> bool {
        self.accounts.as_ref().is_none_or(|named| named.contains(number))
    }

    /// What its components may import. Those of JavaScript and Python import all of the world, whatever
    /// they use: so a plugin without allowed hosts may import `http`, and each call of it is refused.
    #[must_use]
    pub fn granted_capabilities(&self) -> Capabilities {
        self.capabilities.unwrap_or_else(Capabilities::all_granted)
    }

    /// Makes a version the one that runs; the one that ran stays to go back to. Whatever was wrong with
    /// that one is not held against this one.
    pub fn activate_version(&mut self, version: PluginVersionId, now: Timestamp) {
        if self.active_version != Some(version) {
            self.previous_version = self.active_version.or(self.previous_version);
            self.active_version = Some(version);
        }
        self.recover_health(now);
    }

    /// Forgets what went wrong, but for the operator's word.
    pub fn recover_health(&mut self, now: Timestamp) {
        if !self.standing.by_operator && self.standing.state != PluginState::Active {
            self.standing = PluginHealth::active_since(now);
        }
    }
}

/// A component that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVersion {
    /// `plv_…`.
    pub id: PluginVersionId,
    /// Of which plugin.
    pub plugin_id: PluginId,
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
    /// What it imports.
    pub imports: Vec<Arc<str>>,
    /// What it exports.
    pub exports: Vec<Arc<str>>,
    /// How long it took to compile.
    pub compile_ms: u64,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn plugin() -> Plugin {
        Plugin {
            id: PluginId::from_bits(1),
            organisation_id: OrganisationId::from_bits(1),
            name: "a".into(),
            description: None,
            events: EventTypes::all_types(),
            accounts: None,
            config: Arc::default(),
            secrets: Arc::default(),
            allowed_hosts: AllowedHosts::default(),
            capabilities: None,
            enabled: true,
            standing: PluginHealth::active_since(Timestamp::EPOCH),
            active_version: None,
            previous_version: None,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            row_version: RowVersion::FIRST,
        }
    }

    #[test]
    fn it_runs_while_it_may_and_can() {
        let (one, two) = (PluginVersionId::from_bits(1), PluginVersionId::from_bits(2));
        let mut it = plugin();
        assert!(!it.is_running());
        it.activate_version(one, Timestamp::EPOCH);
        assert!(it.is_running() && it.previous_version.is_none());
        it.standing = PluginHealth::paused_since(Timestamp::EPOCH);
        assert!(it.is_running());
        it.standing = PluginHealth::given_up(Timestamp::EPOCH);
        assert!(!it.is_running());
        it.activate_version(two, Timestamp::EPOCH);
        assert!(it.is_running() && it.previous_version == Some(one));
        it.activate_version(two, Timestamp::EPOCH);
        assert_eq!((it.active_version, it.previous_version), (Some(two), Some(one)));
        it.activate_version(one, Timestamp::EPOCH);
        assert_eq!((it.active_version, it.previous_version), (Some(one), Some(two)));
        it.standing = PluginHealth::forbidden_since(Timestamp::EPOCH, None);
        it.activate_version(two, Timestamp::EPOCH);
        assert!(!it.is_running(), "the operator's word stands");
        it.standing = PluginHealth::active_since(Timestamp::EPOCH);
        it.enabled = false;
        assert!(!it.is_running());
    }

    #[test]
    fn everything_may_be_imported_that_was_not_withheld() {
        let mut it = plugin();
        assert!(it.allowed_hosts.is_empty());
        assert_eq!(it.granted_capabilities(), Capabilities::all_granted());
        it.capabilities = Some([Capability::Log].into_iter().collect());
        assert_eq!(it.granted_capabilities().iter().collect::<Vec<_>>(), [Capability::Log]);
    }

    #[test]
    fn capabilities_are_told_apart_by_word_and_by_bit() {
        for one in Capability::ALL {
            assert_eq!(Capability::parse(one.as_str()), Some(*one));
            let alone: Capabilities = [*one].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [*one]);
            let others = Capabilities::all_granted().without_capability(*one);
            assert!(!others.contains_capability(*one));
            assert_eq!(others.iter().count(), Capability::ALL.len() - 1);
        }
        assert!(Capability::parse("files").is_none());
    }
}
