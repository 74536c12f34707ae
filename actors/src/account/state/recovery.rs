//! Recovery after a failed commit: it may have been written all the same, and memory must learn of it.
//!
//! Invariant: readers, the sender and delivery workers do not wait for the next command to learn what is
//! durable. The store is asked at once, and again until it answers.

use std::time::Duration;

use kabar_core::domain::event::EventTypes;
use kabar_core::store::StoreError;
use ractor::ActorRef;

use super::{AccountState, note_lost_commits, view_of};
use crate::account::message::AccountMessage;
use crate::account::sender::SenderMessage;

/// Pause before a store that could not be reached is asked again.
const LOAD_RETRY: Duration = Duration::from_secs(1);

impl AccountState {
    /// Returns `true` when memory may be behind the store, because a commit failed.
    pub(in crate::account) const fn is_in_doubt(&self) -> bool {
        self.reload && !self.fenced
    }

    /// Loads the result of a commit that failed, unless the store could not be reached just now.
    pub(super) async fn recover_commit(&mut self) {
        if self.is_in_doubt()
            && !self.looks_again
            && let Err(error) = self.reload_account().await
        {
            self.note_failure(&error);
        }
    }

    /// Schedules [`AccountMessage::LookAgain`] after [`LOAD_RETRY`], unless it is scheduled already.
    pub(in crate::account) fn look_again(&mut self, myself: ActorRef<AccountMessage>) {
        if std::mem::replace(&mut self.looks_again, true) {
            return;
        }
        let stopping = self.context().stopping.clone();
        self.context().tasks.spawn(async move {
            // Not by the injected clock: the pause spares the store and keeps no promise.
            if tokio::time::timeout(LOAD_RETRY, stopping.cancelled()).await.is_err() {
                let _gone = myself.cast(AccountMessage::LookAgain);
            }
        });
    }

    /// Allows the next recovery: the pause is over.
    pub(in crate::account) const fn retry_recovery(&mut self) {
        self.looks_again = false;
    }

    /// Loads the account afresh.
    pub(super) async fn reload_account(&mut self) -> Result<(), StoreError> {
        let number = self.parts.account.current_account().number;
        // Under the lease of this generation: a later one loads for itself.
        let (node, most) =
            (self.parts.loaded.node_lease().node_id(), self.context().options.resident_conversations);
        let activation = self
            .context()
            .store
            .activate_account(number, node, most, self.parts.account.entry().commit_floor())
            .await?;
        let activation =
            activation.ok_or_else(|| StoreError::Corrupt(format!("account {number} is gone")))?;
        note_lost_commits(&activation);
        let known = self.parts.loaded.current_view().sequence;
        self.parts.epoch = activation.epoch;
        self.parts.has_parked = activation.has_parked;
        self.parts.has_erased = activation.erasing.is_some();
        self.parts.loaded.note_load(self.context().clock.monotonic_now());
        self.parts.account.entry().set_account(activation.account.clone());
        self.parts.loaded.publish_view(view_of(&activation));
        self.index_conversations();
        self.reload = false;
        // A commit that seemed to fail may have been written; the sender and the listener were not notified
        // of it.
        if activation.has_pending {
            self.sender.wake_sender(SenderMessage::Reload).await;
        }
        if activation.erasing.is_some() {
            self.parts.erasures.request_look(self.parts.account.entry());
        }
        if activation.sequence > known {
            let (account, types) = (self.parts.account.entry(), EventTypes::all_types());
            self.parts.listener.note_events(account, activation.sequence, types);
        }
        Ok(())
    }
}
