//! Times, faults and retries of the simulated network, and its handling of calls.
//!
//! Invariant: the defaults are those of a well-behaved WhatsApp. Values are not checked here; the caller
//! chooses sensible ones.

use std::time::Duration;

use serde::Deserialize;

/// Delay of each status, counted from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusDelays {
    /// From the send to `sent`.
    pub sent: Duration,
    /// From `sent` to `delivered`.
    pub delivered: Duration,
    /// From `delivered` to `read`.
    pub read: Duration,
}

impl StatusDelays {
    /// No delay; the order is kept.
    pub const NONE: Self = Self { sent: Duration::ZERO, delivered: Duration::ZERO, read: Duration::ZERO };
}

impl Default for StatusDelays {
    fn default() -> Self {
        Self {
            sent: Duration::from_millis(150),
            delivered: Duration::from_millis(600),
            read: Duration::from_secs(3),
        }
    }
}

/// Handling of calls before they are evaluated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallGate {
    /// They are handled at once.
    #[default]
    Open,
    /// They wait until the gate opens, or is cut.
    Held,
    /// Their connection is cut; nothing is accepted.
    Cut,
}

/// Rates of network faults, in percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkFaults {
    /// Webhook items that come twice.
    pub duplicate_percent: u8,
    /// Webhook items that are delayed by up to three seconds, so that later ones overtake them.
    pub reorder_percent: u8,
    /// Accepted sends with a response that breaks off.
    pub drop_answer_percent: u8,
    /// Accepted sends with a `sent` status that is posted before the response.
    pub early_status_percent: u8,
    /// Accepted sends with a late response.
    pub late_answer_percent: u8,
    /// Delay of a late response, counted from the acceptance. The statuses do not wait for it.
    pub answer_delay: Duration,
    /// Items of one webhook at most; a body stays within 3 MB whatever this value.
    pub batch_items_max: usize,
}

impl Default for NetworkFaults {
    fn default() -> Self {
        Self {
            duplicate_percent: 0,
            reorder_percent: 0,
            drop_answer_percent: 0,
            early_status_percent: 0,
            late_answer_percent: 0,
            answer_delay: Duration::from_secs(2),
            batch_items_max: 1,
        }
    }
}

/// Retries of a webhook that was not answered with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookRetry {
    /// Delay before the second attempt; doubled for each further one.
    pub first: Duration,
    /// Longest delay.
    pub longest: Duration,
    /// Total attempts; then the webhook is given up.
    pub attempts: u32,
}

impl Default for WebhookRetry {
    /// About ten minutes: enough for a server to restart. (Meta tries for seven days.)
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: 125 }
    }
}
