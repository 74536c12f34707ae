//! Input of a run. Two runs of one version with the same input do the same, except for the answers of other
//! hosts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::account::{Account, Secret};
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::Event;
use kabar_core::domain::key_values::{KeyValues, QUOTA_BYTES};
use kabar_core::domain::run::LOG_BYTES_MAX;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{OrganisationId, RunId};

/// One event for one hook.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The tenant; permits are granted to tenants in turn.
    pub organisation_id: OrganisationId,
    /// The plugin's id. A plugin has a limited number of runs at once, and `idempotency-key` contains it.
    pub plugin: Arc<str>,
    /// Account that owns the log of the event.
    pub account: Arc<Account>,
    /// The event.
    pub event: Arc<Event>,
    /// The run, where the server keeps one: not in a trial.
    pub run_id: Option<RunId>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Settings; also the guest's environment variables.
    pub config: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// Secrets; never in a log, unless the hook itself puts them there.
    pub secrets: Arc<BTreeMap<Arc<str>, Secret>>,
    /// Hosts that it may call.
    pub allowed_hosts: AllowedHosts,
    /// Its keys and values as they are now.
    pub kv: KeyValues,
    /// Limits of the run.
    pub limits: RunLimits,
    /// Time of the guest's clocks at its start; they go on from there.
    pub now: Timestamp,
    /// Source of all randomness that the guest sees; keep it unguessable.
    pub seed: [u8; 32],
    /// Decides if calls to other hosts are made.
    pub outbound: OutboundMode,
}

/// Handling of calls to other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundMode {
    /// They are made.
    Performed,
    /// They are recorded, and answered with 200 and an empty JSON object.
    Captured,
}

/// Limits of one run. Use beyond a limit stops the run, or is refused to it with a typed error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Computing time.
    pub cpu: Duration,
    /// Time in all, waits for other hosts included.
    pub wall: Duration,
    /// Memory, tables aside; at most [`MEMORY_BYTES_MAX`].
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

/// Largest limit on memory that can be set.
pub const MEMORY_BYTES_MAX: usize = 128 << 20;

impl Default for RunLimits {
    /// Returns the limits of the contract.
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
