//! Looks whether WhatsApp accepts an account again that it has refused.
//!
//! Invariant: only the server that serves an account asks for it, and never before the time that the account's
//! row names, so that a restart does not ask sooner.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::account::{Account, AccountStatus};
use kabar_core::domain::command::AccountCommand;

use super::ownership::AccountPlace;
use super::registry::AccountRegistry;
use crate::account::AccountEntry;

/// Time between two looks at the accounts. It delays an attempt by that much, at most.
const ROUND_EVERY: Duration = Duration::from_secs(5);

impl AccountRegistry {
    /// Asks until shutdown.
    pub(crate) async fn keep_probing(&self) {
        let context = self.context();
        loop {
            let began = context.clock.take_reading();
            let due = |account: &Account| {
                account.status == AccountStatus::Degraded
                    && account.recovery.is_some_and(|recovery| recovery.next_at <= began.wall)
            };
            let accounts = self.0.directory.all_accounts().into_iter();
            for entry in accounts.filter(|entry| due(&entry.current_account())) {
                if context.stopping.run_until_cancelled(self.probe_account(&entry)).await.is_none() {
                    return;
                }
            }
            let pause = context.clock.wait_until(began.monotonic.saturating_plus(ROUND_EVERY));
            if context.stopping.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Asks WhatsApp for an account's own number, and records the answer.
    async fn probe_account(&self, entry: &Arc<AccountEntry>) {
        let account = entry.current_account();
        match self.find_owner(entry).await {
            Ok(AccountPlace::Here) => {}
            Ok(AccountPlace::There(_)) => return,
            Err(error) => {
                tracing::warn!(account = %account.id, error = cause(&error), "account not probed");
                return;
            }
        }
        let told = match self.0.graph_calls.client.fetch_profile(&account).await {
            Ok(profile) => Some(profile),
            Err(refusal) => {
                let code = refusal.error.provider_code;
                tracing::info!(account = %account.id, code, "WhatsApp does not accept the account yet");
                None
            }
        };
        let recorded = self.execute_command(entry, AccountCommand::RecordProbe(told), None).await;
        if let Err(error) = recorded {
            tracing::warn!(account = %account.id, error = cause(&error), "answer of a probe not recorded");
        }
    }
}
