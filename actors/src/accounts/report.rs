//! Reports on the accounts in memory, and the gauges that are computed from them.

use std::sync::atomic::Ordering;

use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::AccountId;

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LoadedAccount};

/// Report on one loaded account, for the operator.
#[derive(Debug, Clone)]
pub struct LoadedAccountReport {
    /// `wba_…`.
    pub account_id: AccountId,
    /// Meta's id.
    pub phone_number_id: String,
    /// Commits ever.
    pub revision: i64,
    /// Number of the last event.
    pub sequence: i64,
    /// Conversations in memory.
    pub conversations: usize,
    /// Conversations that did not change after this instant may be on disk only; `None`: all are in memory.
    pub horizon: Option<Timestamp>,
    /// Commands that wait.
    pub mailbox_depth: usize,
    /// Commits a second since the account was loaded.
    pub cycles_per_second: f64,
    /// Pages served from cache, of all served since the account was loaded; 0 to 1.
    pub cache_hit_ratio: f64,
    /// Long polls that wait.
    pub waiting_polls: usize,
    /// Streams of events that wait.
    pub event_streams: usize,
    /// Conversations that have something to be sent.
    pub sending: usize,
    /// Messages a second that may leave now.
    pub messages_per_second: u32,
    /// Messages a second that may leave when WhatsApp does not find them too many.
    pub messages_per_second_max: u32,
}

impl AccountRegistry {
    /// Lists the accounts in memory, for the operator.
    #[must_use]
    pub fn loaded_accounts(&self) -> Vec<LoadedAccountReport> {
        let now = self.0.context.clock.monotonic_now();
        let entries = self.0.directory.all_accounts().into_iter();
        entries
            .filter_map(|entry| Some(self.report_account(&entry, &*entry.loaded_account()?, now)))
            .collect()
    }

    /// Updates the gauges of sending, which are computed only when they are read.
    pub fn refresh_gauges(&self) {
        let now = self.0.context.clock.monotonic_now();
        let (mut pace, mut slowed, mut sending) = (0_i64, 0_i64, 0_i64);
        for entry in self.0.directory.all_accounts() {
            if let Some(loaded) = entry.loaded_account() {
                let configured = entry.current_account().messages_per_second;
                let current = entry.lock_pace().current_rate(configured, now);
                pace += i64::from(current);
                slowed += i64::from(current < configured);
                let waiting = loaded.sending.load(Ordering::Relaxed);
                sending = sending.saturating_add(i64::try_from(waiting).unwrap_or(i64::MAX));
            }
        }
        self.0.context.metrics.send_pace.set(pace);
        self.0.context.metrics.slowed_accounts.set(slowed);
        self.0.context.metrics.sending.set(sending);
        self.0
            .context
            .metrics
            .calls_under_way
            .set(i64::try_from(self.0.graph_calls.unrecorded.len()).unwrap_or(i64::MAX));
        self.0.dispatcher.refresh_gauges();
    }

    fn report_account(
        &self,
        entry: &AccountEntry,
        loaded: &LoadedAccount,
        now: MonotonicInstant,
    ) -> LoadedAccountReport {
        let view = loaded.current_view();
        let resident_s = now.saturating_since(loaded.activated_at).map_or(1.0, |age| age.as_secs_f64());
        let (hits, misses) = (loaded.hits.load(Ordering::Relaxed), loaded.misses.load(Ordering::Relaxed));
        LoadedAccountReport {
            account_id: view.account.id,
            phone_number_id: view.account.phone_number_id.to_string(),
            revision: view.revision,
            sequence: view.sequence,
            conversations: view.conversations.len(),
            horizon: view.conversations.view_horizon(),
            mailbox_depth: self
                .0
                .context
                .options
                .queued_commands
                .saturating_sub(loaded.permits.available_permits()),
            cycles_per_second: to_ratio(loaded.cycles.load(Ordering::Relaxed), 1.0) / resident_s,
            cache_hit_ratio: to_ratio(hits, to_ratio(hits.saturating_add(misses).max(1), 1.0)),
            waiting_polls: loaded.waiting.load(Ordering::Relaxed),
            event_streams: loaded.streaming.load(Ordering::Relaxed),
            sending: loaded.sending.load(Ordering::Relaxed),
            messages_per_second: entry.lock_pace().current_rate(view.account.messages_per_second, now),
            messages_per_second_max: view.account.messages_per_second,
        }
    }
}

/// Divides a count, as a float; counts beyond 2^32 are shown as that.
fn to_ratio(count: u64, over: f64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / over
}
