//! A plugin: a tenant's component that receives events, and its versions.
//!
//! Invariants: a plugin receives events exactly while it is enabled, has an active version and was not
//! disabled. A paused plugin receives a probe from time to time. Secrets are written and never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::account::{PhoneNumberId, Secret};
use super::allowed_hosts::AllowedHosts;
use super::event::EventTypes;
use super::principal::Principal;
use super::row_version::RowVersion;
use super::time::Timestamp;
use super::word_enum::word_enum;
use crate::ids::{OrganisationId, PluginId, PluginVersionId};

/// Characters of a name.
pub const NAME_CHARS: RangeInclusive<usize> = 1..=100;
/// Characters of a description.
pub const DESCRIPTION_CHARS: RangeInclusive<usize> = 1..=1000;
/// Entries of `config`, and of `secrets`, at most.
pub const ENTRIES_MAX: usize = 64;
/// Characters of a key of `config` or `secrets`.
pub const ENTRY_KEY_CHARS: RangeInclusive<usize> = 1..=128;
/// Bytes of all keys and values of `config`, and of `secrets`, at most.
pub const ENTRIES_BYTES_MAX: usize = 32 * 1024;
/// Hosts that a plugin may call, at most.
pub const HOSTS_MAX: usize = 32;
/// Accounts that a plugin may name, at most.
pub const ACCOUNTS_MAX: usize = 100;
/// Plugins of one organisation, at most.
pub const PLUGINS_MAX: usize = 50;
/// Versions that a plugin keeps. The oldest that is neither active nor the previous one is removed first.
pub const VERSIONS_KEPT: usize = 10;

word_enum! {
    /// A capability of a component: an interface of `kabar:hooks` that it may import, by its name.
    Capability {
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
        /// Random numbers.
        Random = "random",
    }
}

impl Capability {
    fn bit(self) -> u16 {
        let place = Self::ALL.iter().position(|known| *known == self);
        let place = place.and_then(|place| u32::try_from(place).ok());
        place.and_then(|place| 1_u16.checked_shl(place)).unwrap_or(0)
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Every capability.
    #[must_use]
    pub fn all_granted() -> Self {
        Capability::ALL.iter().copied().collect()
    }

    /// Returns `true` when this capability is in the set.
    #[must_use]
    pub fn contains_capability(self, one: Capability) -> bool {
        self.0 & one.bit() != 0
    }

    /// Returns the set without that capability.
    #[must_use]
    pub fn without_capability(self, one: Capability) -> Self {
        Self(self.0 & !one.bit())
    }

    /// Each capability of the set, in the contract's order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |one| self.contains_capability(*one))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(some: I) -> Self {
        Self(some.into_iter().fold(0, |bits, one| bits | one.bit()))
    }
}

/// Health state of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PluginState {
    /// No known problem.
    Active,
    /// Too many of its runs failed: one is tried each minute.
    Paused,
    /// Disabled until the tenant or the operator changes something.
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

/// Health of a plugin: its state, since when, and for which reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginHealth {
    /// Health state.
    pub state: PluginState,
    /// Time at which the state began.
    pub since: Timestamp,
    /// Reason for a state other than active, in readable form.
    pub reason: Option<Arc<str>>,
    /// `true` when the operator disabled it, which the tenant cannot undo.
    pub by_operator: bool,
}

impl PluginHealth {
    /// Active since this time.
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

/// Keys and values that a tenant sets.
pub type PluginEntries<V> = BTreeMap<Arc<str>, V>;

/// A plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct Plugin {
    /// `plg_…`.
    pub id: PluginId,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// Display name.
    pub name: Arc<str>,
    /// Description, in readable form.
    pub description: Option<Arc<str>>,
    /// Event types that it receives.
    pub events: EventTypes,
    /// Numbers with events for it; `None` for all numbers.
    pub accounts: Option<Arc<[PhoneNumberId]>>,
    /// Settings that its components may read.
    pub config: Arc<PluginEntries<Arc<str>>>,
    /// Secrets that its components may read. No client can read them.
    pub secrets: Arc<PluginEntries<Secret>>,
    /// Hosts that its components may call.
    pub allowed_hosts: AllowedHosts,
    /// Interfaces that its components may import; `None` for all.
    pub capabilities: Option<Capabilities>,
    /// `true` when its tenant wants it to run.
    pub enabled: bool,
    /// Health.
    pub standing: PluginHealth,
    /// The version that runs.
    pub active_version: Option<PluginVersionId>,
    /// The version that ran before, kept for a rollback.
    pub previous_version: Option<PluginVersionId>,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Its creator.
    pub created_by: Principal,
    /// Time of its last change.
    pub updated_at: Timestamp,
    /// Number of writes of the row.
    pub row_version: RowVersion,
}

/// Leaves out config and secrets.
impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Returns `true` when it receives events, even if only as probes of its health.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.enabled && self.active_version.is_some() && self.standing.state != PluginState::Disabled
    }

    /// Returns `true` when it receives events of this number.
    #[must_use]
    pub fn hears_event(&self, number: &PhoneNumberId) -> bool {
        self.accounts.as_ref().is_none_or(|named| named.contains(number))
    }

    /// Returns the interfaces that its components may import. Components in JavaScript and Python import the
    /// whole world, used or not. So a plugin without allowed hosts may import `http`, and each call of it is
    /// refused.
    #[must_use]
    pub fn granted_capabilities(&self) -> Capabilities {
        self.capabilities.unwrap_or_else(Capabilities::all_granted)
    }

    /// Makes a version the active one and keeps the one before it for a rollback. The health is reset,
    /// because failures of the old version say nothing about the new one.
    pub fn activate_version(&mut self, version: PluginVersionId, now: Timestamp) {
        if self.active_version != Some(version) {
            self.previous_version = self.active_version.or(self.previous_version);
            self.active_version = Some(version);
        }
        self.recover_health(now);
    }

    /// Resets the health to active, unless the operator disabled the plugin.
    pub fn recover_health(&mut self, now: Timestamp) {
        if !self.standing.by_operator && self.standing.state != PluginState::Active {
            self.standing = PluginHealth::active_since(now);
        }
    }
}

/// An uploaded component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVersion {
    /// `plv_…`.
    pub id: PluginVersionId,
    /// The plugin that it belongs to.
    pub plugin_id: PluginId,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Size in bytes.
    pub size: u64,
    /// Interfaces that it imports.
    pub imports: Vec<Arc<str>>,
    /// Interfaces that it exports.
    pub exports: Vec<Arc<str>>,
    /// Compile time in milliseconds.
    pub compile_ms: u64,
    /// Time at which it was uploaded.
    pub created_at: Timestamp,
    /// Its uploader.
    pub created_by: Principal,
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
            created_by: Principal::SYSTEM,
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
