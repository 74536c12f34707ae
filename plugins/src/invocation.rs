//! What a run is given. Two runs of one version that are given the same do the same, but for what
//! other hosts answer them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::account::{Account, Secret};
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::Event;
use kabar_core::domain::key_values::{KeyValues, QUOTA_BYTES};
use kabar_core::domain::run::LOG_BYTES_MAX;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OrganisationId;

/// One event for one hook.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The tenant; the host's turns go round among tenants.
    pub organisation_id: OrganisationId,
    /// The plugin's id. A plugin has only so many runs at once, and `idempotency-key` names it.
    pub plugin: Arc<str>,
    /// Whose log the event is from.
    pub account: Arc<Account>,
    /// What happened.
    pub event: Arc<Event>,
    /// From 1.
    pub attempt: u32,
    /// Settings; also the guest's environment variables.
    pub config: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// Secrets; never in a log, unless the hook itself puts them there.
    pub secrets: Arc<BTreeMap<Arc<str>, Secret>>,
    /// Whom it may call.
    pub allowed_hosts: AllowedHosts,
    /// Its map as it is now.
    pub kv: KeyValues,
    /// What it may use.
    pub limits: RunLimits,
    /// What the guest's clocks say at its start; they go on from there.
    pub now: Timestamp,
    /// All randomness that the guest sees comes from it; keep it unguessable.
    pub seed: [u8; 32],
    /// Whether calls to other hosts are made.
    pub outbound: OutboundMode,
}

/// What becomes of calls to other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundMode {
    /// They are made.
    Performed,
    /// They are noted, and answered with 200 and an empty JSON object.
    Captured,
}

/// What one run may use. What is beyond a limit stops the run, or is refused to it with a typed
/// error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Computing time.
    pub cpu: Duration,
    /// Time in all, waits for other hosts included.
    pub wall: Duration,
    /// Memory, tables aside; [`MEMORY_BYTES_MAX`] at most.
    pub memory_bytes: usize,
    /// Bytes of log lines that are kept.
    pub log_bytes: usize,
    /// Bytes of keys and values in its map.
    pub kv_bytes: usize,
    /// Calls to other hosts.
    pub http_calls: u32,
    /// Time of each call.
    pub http_timeout: Duration,
    /// Bytes of a request's body, and of an answer's.
    pub http_bytes: usize,
    /// Sends and updates.
    pub effects: usize,
    /// Calls to the host of any kind.
    pub host_calls: u32,
}

/// Beyond this no limit on memory can be set.
pub const MEMORY_BYTES_MAX: usize = 128 << 20;

impl Default for RunLimits {
    /// Those of the contract.
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(50),
            wall: Duration::from_secs(2),
            memory_bytes: 64 << 20,
            log_bytes: LOG_BYTES_MAX,
            kv_bytes: QUOTA_BYTES,
            http_calls: 8,
            http_timeout: Duration::from_secs(5),
            http_bytes: 1 << 20,
            effects: 32,
            host_calls: 10_000,
        }
    }
}
