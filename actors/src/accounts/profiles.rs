//! Looks at the properties of the accounts' numbers: when one is connected, when a webhook says that something has
//! changed, and once a day.
//!
//! Invariants: no server looks at an account that another one serves. A bounded number of looks is under way. Nothing
//! is written, and no account is loaded on a server without other nodes, when nothing has changed. A look that fails
//! changes nothing; it is repeated twice, and the next day.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::account::{Account, AccountPatch, AccountProfile, AccountStatus};
use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::time::Timestamp;

use super::ownership::AccountPlace;
use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LookRequests};
use crate::error::AccountError;

/// Looks under way at once.
pub(super) const LOOKS_MAX: usize = 4;
/// Time between two rounds in which the accounts are found whose daily look is due.
const ROUND_EVERY: Duration = Duration::from_mins(1);

const DAY_MS: i64 = 86_400_000;

/// Time of the day at which an account is looked at, in milliseconds since midnight UTC. Successive accounts lie
/// apart by the golden ratio of a day, so that any number of them is spread over it.
fn time_of_look(account_number: i64) -> i64 {
    let spread = account_number.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    i64::try_from((spread * DAY_MS.unsigned_abs()) >> 32).unwrap_or(0)
}

/// Returns `true` when an account's time of the day lies after `from`, and not after `to`.
fn is_due(account_number: i64, from: Timestamp, to: Timestamp) -> bool {
    let looks_until = |at: Timestamp| (at.millis() - time_of_look(account_number)).div_euclid(DAY_MS);
    looks_until(from) < looks_until(to)
}

impl AccountRegistry {
    /// Has the properties of an account's number looked at soon.
    pub fn look_at_profile(&self, entry: &Arc<AccountEntry>) {
        self.0.graph_calls.profiles.request_look(entry);
    }

    /// Requests the daily looks until shutdown.
    pub(super) async fn keep_daily_looks(&self) {
        let context = self.context();
        let mut last = context.clock.take_reading();
        loop {
            let pause = context.clock.wait_until(last.monotonic.saturating_plus(ROUND_EVERY));
            if context.stopping.run_until_cancelled(pause).await.is_none() {
                return;
            }
            let now = context.clock.take_reading();
            for entry in self.0.directory.all_accounts() {
                let account = entry.current_account();
                let looks = account.status == AccountStatus::Connected;
                if looks && is_due(account.number, last.wall, now.wall) {
                    self.request_daily_look(&entry).await;
                }
            }
            last = now;
        }
    }

    /// Looks at the accounts for which that is asked, until shutdown.
    pub(super) async fn keep_looking(&self, mut requests: LookRequests) {
        self.serve_requests(&mut requests, |accounts, entry| async move {
            let (queue, bound) = (&accounts.0.graph_calls.profiles, &accounts.0.profile_looks);
            accounts.repeat_calls(queue, bound, &entry, || accounts.look_once(&entry)).await;
        })
        .await;
    }

    /// Asks WhatsApp for an account's own number, and records what is new. Returns `false` when that failed.
    async fn look_once(&self, entry: &Arc<AccountEntry>) -> bool {
        let account = entry.current_account();
        // Of an account that WhatsApp refuses, `probe` asks for the number.
        if account.status != AccountStatus::Connected {
            return true;
        }
        let metrics = &self.context().metrics;
        let looked = match self.is_served_here(entry).await {
            Ok(true) => self.take_look(entry, &account).await,
            Ok(false) => return true,
            Err(error) => Err(error),
        };
        metrics.profile_looks.inc();
        let is_done = match &looked {
            Ok(is_told) => *is_told,
            Err(error) => {
                tracing::warn!(account = %account.id, error = cause(error), "properties not recorded");
                false
            }
        };
        if !is_done {
            metrics.profile_failures.inc();
        }
        is_done
    }

    /// Returns `true` when no other node serves the account. It is not loaded for that.
    pub(super) async fn is_served_here(&self, entry: &AccountEntry) -> Result<bool, AccountError> {
        if !self.is_clustered() || entry.loaded_account().is_some() {
            return Ok(true);
        }
        let number = entry.current_account().number;
        let owner = self.context().store.find_owner(number, self.0.cluster.node_id()).await;
        Ok(owner.map_err(|error| AccountError::from_store(&error, "owner not read"))?.is_none())
    }

    /// Requests the daily look at an account, unless another node serves it. Of several nodes one takes the account
    /// for it, so that one looks.
    async fn request_daily_look(&self, entry: &Arc<AccountEntry>) {
        if self.is_clustered() && !matches!(self.find_owner(entry).await, Ok(AccountPlace::Here)) {
            return;
        }
        self.look_at_profile(entry);
        self.look_at_templates(entry);
    }

    /// Makes one look. Returns `false` when WhatsApp did not tell the properties.
    async fn take_look(&self, entry: &Arc<AccountEntry>, account: &Account) -> Result<bool, AccountError> {
        let told = match self.0.graph_calls.client.fetch_profile(account).await {
            Ok(told) => told,
            Err(refusal) => {
                let code = refusal.error.provider_code;
                tracing::info!(account = %account.id, code, "WhatsApp did not tell the number's properties");
                return Ok(false);
            }
        };
        if tells_news(&entry.current_account().profile, &told) {
            let patch = AccountPatch { profile: told, ..AccountPatch::default() };
            let recorded = self.execute_command(entry, AccountCommand::Configure(patch), None).await?;
            if let Err(refusal) = recorded {
                // Nothing in such a change can be refused.
                tracing::error!(account = %account.id, error = cause(&refusal), "properties refused");
            }
        }
        Ok(true)
    }
}

fn tells_news(known: &AccountProfile, told: &AccountProfile) -> bool {
    known.clone().update_from(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spread_over_the_day() {
        for count in [8, 50, 1000_i64] {
            let mut times: Vec<i64> = (1..=count).map(time_of_look).collect();
            times.sort_unstable();
            assert!(times.iter().all(|time| (0..DAY_MS).contains(time)));
            let widest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(widest < 3 * DAY_MS / count, "{count} accounts: {widest} ms without a look");
        }
    }

    #[test]
    fn each_day_has_one_look() {
        let at = |ms: i64| Timestamp::from_millis(1_781_866_800_000 + ms);
        for number in 1..50 {
            let due = |from: i64, to: i64| is_due(number, at(from), at(to));
            let minutes = DAY_MS / 60_000;
            let looks = (0..minutes).filter(|nth| due(nth * 60_000, (nth + 1) * 60_000)).count();
            assert_eq!(looks, 1);
            assert!(!due(5, 5) && due(0, DAY_MS) && due(0, 9 * DAY_MS));
            assert!(!due(DAY_MS, 0), "a clock that is set back makes no look");
        }
    }
}
