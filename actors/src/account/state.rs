//! State of an account as its only writer holds it, and the commit that changes it.
//!
//! A commit takes the queued commands, loads the rows that they need, decides them with pure rules, writes one
//! transaction, publishes the view and answers the callers.
//!
//! Invariants:
//!
//! - No caller is answered before the commit is durable and published.
//! - A commit that failed may have been written all the same. The state is loaded afresh at once, or as soon as
//!   the store can be reached, and in any case before the next commit.
//! - A commit that the database refuses was not written: it fails its command, and memory stays as it is.

mod batch_decision;
mod commit;
mod recovery;

use std::collections::VecDeque;
use std::sync::Arc;

use kabar_core::ids::{AccountId, IdSource, MonotonicIds};
use kabar_core::store::AccountActivation;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::commit_listener::CommitListener;
use super::handle::AccountHandle;
use super::loaded_account::LoadedAccount;
use super::look_queue::LookQueue;
use super::message::{CommandVerdict, QueuedCommand};
use super::recent_rows::AccountIndex;
use super::sender::{GraphCalls, SenderHandle, SenderMessage, SenderParts};
use crate::context::Context;
use crate::view::{AccountView, Conversations};

/// Dependencies and initial values of an [`AccountState`].
pub(crate) struct AccountStateParts {
    pub(crate) context: Arc<Context>,
    pub(crate) account: AccountHandle,
    pub(crate) loaded: Arc<LoadedAccount>,
    /// Is told of each commit.
    pub(crate) listener: Arc<dyn CommitListener>,
    pub(crate) graph_calls: GraphCalls,
    pub(crate) epoch: i64,
    pub(crate) has_pending: bool,
    pub(crate) has_parked: bool,
    pub(crate) has_erased: bool,
    /// Is asked to erase what is left of contacts that were deleted.
    pub(crate) erasures: LookQueue,
}

/// Builds the first view of an activation.
pub(crate) fn view_of(activation: &AccountActivation) -> AccountView {
    let conversations = Conversations::load_rows(activation.conversations.clone(), activation.complete);
    let at = activation.last_commit_at;
    AccountView::first_page(
        activation.account.clone(),
        activation.revision,
        activation.sequence,
        at,
        conversations,
        activation.erasing.clone().unwrap_or_default(),
    )
    .with_templates(activation.has_templates)
}

/// Logs an error when the database has lost commits that were acknowledged.
pub(crate) fn note_lost_commits(activation: &AccountActivation) {
    if activation.lost_commits.is_some() {
        let (account, revision, sequence) = (activation.account.id, activation.revision, activation.sequence);
        tracing::error!(
            %account,
            revision,
            sequence,
            "the database has lost commits that were acknowledged; numbers go on above them"
        );
    }
}

/// State of one account: queue, indices, sender and the loaded view. Owned by its actor.
pub(crate) struct AccountState {
    parts: AccountStateParts,
    queue: VecDeque<QueuedCommand>,
    index: AccountIndex,
    ids: Box<dyn IdSource>,
    /// Set when the result of the last commit is unknown, or it failed: load before the next commit.
    reload: bool,
    /// Set while a retry of the recovery is scheduled.
    looks_again: bool,
    fenced: bool,
    sender: SenderHandle,
}

impl AccountState {
    pub(super) fn open(parts: AccountStateParts) -> Self {
        let seed = StdRng::from_rng(&mut rand::rng());
        let sender = SenderHandle::new(SenderParts {
            context: parts.context.clone(),
            account: parts.account.clone(),
            loaded: parts.loaded.clone(),
            graph_calls: parts.graph_calls.clone(),
        });
        let mut state = Self {
            queue: VecDeque::new(),
            index: AccountIndex::default(),
            ids: Box::new(MonotonicIds::new(seed)),
            reload: false,
            looks_again: false,
            fenced: false,
            sender,
            parts,
        };
        state.index_conversations();
        state
    }

    /// Wakes the sender for messages that a former owner left unsent.
    pub(super) async fn resume_sends(&mut self) {
        if self.parts.has_pending {
            self.sender.wake_sender(SenderMessage::Look).await;
        }
    }

    /// Has the sender read its queue again.
    pub(super) async fn read_queue_again(&mut self) {
        self.sender.wake_sender(SenderMessage::Reload).await;
    }

    fn context(&self) -> &Context {
        &self.parts.context
    }

    fn account_id(&self) -> AccountId {
        self.parts.account.current_account().id
    }

    fn index_conversations(&mut self) {
        self.index = AccountIndex::default();
        for conversation in self.parts.loaded.current_view().conversations.iter() {
            self.index.index_conversation(conversation);
        }
    }

    /// Queues a command. Returns `true` when a commit must be posted for it. An actor that does not own the
    /// account any more answers at once that the command has moved.
    pub(super) fn queue_command(&mut self, work: QueuedCommand) -> bool {
        if self.fenced {
            work.send_outcome(CommandVerdict::Moved);
            return false;
        }
        self.queue.push_back(work);
        self.queue.len() == 1
    }

    pub(super) const fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Takes the account out of memory, because another node owns it. Commands queued behind are answered
    /// first.
    pub(super) fn release_account(&self) {
        if !self.parts.loaded.is_retired() {
            self.parts.account.entry().release_account(&self.parts.loaded);
        }
    }

    /// Stops the sender of this owner. Returns `true` when nothing is queued and nothing is under way.
    pub(super) fn retire_owner(&mut self) -> bool {
        self.sender.stop_sender();
        let queued_max = self.context().options.queued_commands;
        self.queue.is_empty() && self.parts.loaded.permits.available_permits() >= queued_max
    }
}
