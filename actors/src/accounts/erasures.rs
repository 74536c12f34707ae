//! Erases what is left of contacts that were deleted, and removes messages that are no longer kept.
//!
//! Invariants: one look at an account's erasures is under way at a time, on the node that serves it. What is to be erased
//! stands in the store, so a crash loses nothing, and a step that is repeated does no harm. No write waits for more than
//! one step.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::time::Timestamp;
use kabar_core::store::{MarkSearch, PendingErasure, StoreError};
use kabar_core::surroundings;

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LookRequests};
use crate::error::AccountError;
use crate::retry::STEP_PAUSE;

/// Time for which erasures go on once the server stops, so that a file that is closed in order holds nothing of a
/// contact that was deleted.
const LAST_STEPS: Duration = Duration::from_secs(10);
/// Age from which a message is not sent again by WhatsApp: it repeats a webhook for 7 days.
const REPEATED: Duration = Duration::from_hours(8 * 24);

fn unread(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "erasure held up")
}

impl AccountRegistry {
    /// Erases in the accounts for which that is asked. At shutdown, what is under way is ended within
    /// [`LAST_STEPS`].
    pub(super) async fn keep_erasing(&self, mut requests: LookRequests) {
        self.serve_requests(&mut requests, |accounts, entry| async move { accounts.erase_all(&entry).await })
            .await;
        // Requested just before the stop.
        while let Ok(entry) = requests.try_recv() {
            self.erase_all(&entry).await;
        }
    }

    async fn erase_all(&self, entry: &Arc<AccountEntry>) {
        let (context, erasures) = (self.context(), &self.0.erasures);
        let looks = self.repeat_looks(erasures, entry, "erasure held up", || self.erase_next(entry));
        let last_steps = async {
            context.stopping.cancelled().await;
            surroundings::sleep(LAST_STEPS).await;
        };
        tokio::select! {
            () = looks => {}
            () = last_steps => erasures.abandon_look(entry.current_account().number),
        }
    }

    /// Erases what is left of one contact; `false` when there is none.
    async fn erase_next(&self, entry: &Arc<AccountEntry>) -> Result<bool, AccountError> {
        let context = self.context();
        let number = entry.current_account().number;
        if !context.stopping.is_cancelled() {
            self.load_account(entry).await?;
        }
        let erasure = context.store.next_erasure(number).await.map_err(|error| unread(&error))?;
        self.count_erasures().await?;
        let Some(erasure) = erasure else { return Ok(false) };
        let mut search = MarkSearch::default();
        loop {
            let now = context.clock.read_now();
            let rows = context.store.erase_step(number, &erasure, &mut search, now).await;
            let rows = rows.map_err(|error| unread(&error))?;
            if rows == 0 {
                break;
            }
            context.metrics.erased_rows.inc_by(rows);
            surroundings::sleep(STEP_PAUSE).await;
        }
        self.0.dispatcher.forget_events(number);
        self.end_erasure(entry, &erasure).await?;
        Ok(true)
    }

    async fn end_erasure(
        &self,
        entry: &Arc<AccountEntry>,
        erasure: &PendingErasure,
    ) -> Result<(), AccountError> {
        let context = self.context();
        if context.stopping.is_cancelled() {
            // The account is on its way out of memory.
            let number = entry.current_account().number;
            return context.store.end_erasure(number, erasure.contact).await.map_err(|error| unread(&error));
        }
        let end = AccountCommand::EndErasure { contact: erasure.contact, conversation: erasure.conversation };
        if let Err(refusal) = self.execute_command(entry, end, None).await? {
            tracing::error!(error = cause(&refusal), "the end of an erasure was refused");
        }
        Ok(())
    }

    async fn count_erasures(&self) -> Result<(), AccountError> {
        let context = self.context();
        let pending = context.store.count_erasures().await.map_err(|error| unread(&error))?;
        context.metrics.erasures_pending.set(pending);
        Ok(())
    }

    /// Goes on with erasures that were left since before the last stop, or by a dead node.
    pub(crate) async fn resume_erasures(&self) -> Result<(), AccountError> {
        self.count_erasures().await?;
        let waiting = self.context().store.unserved_with_erasures(self.0.cluster.node_id()).await;
        for account in waiting.map_err(|error| unread(&error))? {
            if let Some(entry) = self.0.directory.account_of_row(account)
                && entry.loaded_account().is_none()
            {
                self.0.erasures.request_look(&entry);
            }
        }
        Ok(())
    }

    /// Removes the messages of all accounts that are served here, or nowhere, and that are older than `kept`.
    pub(super) async fn expire_messages(&self, kept: Duration) {
        for entry in self.0.directory.all_accounts() {
            let now = self.context().clock.read_now();
            let removed = self.expire_messages_of(&entry, now, kept);
            match self.context().stopping.run_until_cancelled(removed).await {
                None => return,
                Some(Ok(()) | Err(AccountError::Elsewhere)) => {}
                Some(Err(error)) => {
                    let account = entry.current_account().id;
                    tracing::warn!(%account, error = cause(&error), "old messages not removed");
                }
            }
        }
    }

    async fn expire_messages_of(
        &self,
        entry: &Arc<AccountEntry>,
        now: Timestamp,
        kept: Duration,
    ) -> Result<(), AccountError> {
        let context = self.context();
        let (number, before) = (entry.current_account().number, now.minus_duration(kept));
        let remembered_at = (kept < REPEATED).then_some(now);
        let mut after = None;
        loop {
            let messages = context.store.expired_messages(number, after, before).await;
            let messages = messages.map_err(|error| unread(&error))?;
            let Some(last) = messages.last() else { break };
            if after.is_none() {
                // Not elsewhere.
                self.load_account(entry).await?;
            }
            after = Some(last.id);
            let beside = context.store.erase_beside(number, &messages, remembered_at).await;
            context.metrics.erased_rows.inc_by(beside.map_err(|error| unread(&error))?);
            let remove = AccountCommand::RemoveMessages(messages.iter().map(|one| one.id).collect());
            if let Err(refusal) = self.execute_command(entry, remove, None).await? {
                tracing::error!(error = cause(&refusal), "the removal of messages was refused");
            }
            surroundings::sleep(STEP_PAUSE).await;
        }
        if after.is_some() {
            self.0.dispatcher.forget_events(number);
        }
        Ok(())
    }
}
