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
mod recovery;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kabar_core::cause::cause;
use kabar_core::domain::draft::AccountChanges;
use kabar_core::domain::event::{Event, EventKind, EventTypes};
use kabar_core::domain::log::NewestEvents;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{EventId, IdSource, MonotonicIds};
use kabar_core::store::{AccountActivation, AccountCommit, CommitFloor, IdempotencyRecord, StoreError};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::command_info::{count_items, moves_of};
use super::recent_rows::AccountIndex;
use super::{CommandVerdict, QueuedCommand};
use crate::account_entry::AccountEntry;
use crate::accounts::{AccountError, AccountRegistry, Context};
use crate::loaded_account::LoadedAccount;
use crate::sender::{SenderHandle, SenderMessage};
use crate::view::{AccountView, Conversations};
use batch_decision::{BatchDecision, BatchError};

/// Items (webhook items, or commands of one item) of one commit: about 25 ms of work on SQLite.
const ITEMS_MAX: usize = 1000;
/// Longest wait of a commit for the account clock. Behind a clock that was set back by more, the account clock
/// runs ahead instead, one millisecond per commit.
const CLOCK_WAIT_MAX: Duration = Duration::from_secs(1);

/// Dependencies and initial values of an [`AccountState`].
pub(crate) struct AccountStateParts {
    pub(crate) accounts: AccountRegistry,
    pub(crate) slot: Arc<AccountEntry>,
    pub(crate) resident: Arc<LoadedAccount>,
    pub(crate) epoch: i64,
    pub(crate) has_pending: bool,
    pub(crate) has_parked: bool,
}

/// Builds the first view of an activation.
pub(crate) fn view_of(activation: &AccountActivation) -> AccountView {
    let threads = Conversations::load_rows(activation.conversations.clone(), activation.complete);
    let at = activation.last_commit_at;
    AccountView::first_page(activation.account.clone(), activation.revision, activation.sequence, at, threads)
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
        let sender = SenderHandle::new(parts.accounts.clone(), parts.slot.clone(), parts.resident.clone());
        let mut ledger = Self {
            queue: VecDeque::new(),
            index: AccountIndex::default(),
            ids: Box::new(MonotonicIds::new(seed)),
            reload: false,
            looks_again: false,
            fenced: false,
            sender,
            parts,
        };
        ledger.index_conversations();
        ledger
    }

    /// Wakes the sender for messages that a former owner left unsent.
    pub(super) async fn resume_sends(&mut self) {
        if self.parts.has_pending {
            self.sender.wake_sender(SenderMessage::Look).await;
        }
    }

    fn context(&self) -> &Context {
        self.parts.accounts.context()
    }

    fn index_conversations(&mut self) {
        self.index = AccountIndex::default();
        for thread in self.parts.resident.current_view().threads.iter() {
            self.index.index_conversation(thread);
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
        if !self.parts.resident.is_retired() {
            AccountRegistry::release_account(&self.parts.slot, &self.parts.resident);
        }
    }

    /// Stops the sender of this owner. Returns `true` when nothing is queued and nothing is under way.
    pub(super) fn retire_owner(&mut self) -> bool {
        self.sender.stop_sender();
        let queued_max = self.context().options.queued_commands;
        self.queue.is_empty() && self.parts.resident.permits.available_permits() >= queued_max
    }

    fn take_batch(&mut self) -> Vec<QueuedCommand> {
        let mut items = 0;
        let mut batch = Vec::new();
        while let Some(work) = self.queue.pop_front() {
            items += count_items(&work.command);
            batch.push(work);
            if items >= ITEMS_MAX {
                break;
            }
        }
        batch
    }

    /// Carries out queued commands, up to the limit of one commit. Returns `true` when more are queued.
    pub(super) async fn run_commit(&mut self) -> bool {
        let batch = self.take_batch();
        if batch.is_empty() {
            self.recover_commit().await;
            return false;
        }
        let (began, commands) = (Instant::now(), batch.len());
        self.context().metrics.commands.inc_by(u64::try_from(batch.len()).unwrap_or(0));
        self.context()
            .metrics
            .commit_commands
            .observe(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
        for spoilt in self.carry_out(batch).await {
            // The database refused a row of the batch. The commands are carried out one by one, so that only
            // the command with that row fails.
            self.carry_out(vec![spoilt]).await;
        }
        self.recover_commit().await;
        self.context().metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        tracing::debug!(
            account = %self.parts.slot.current_account().id,
            revision = self.parts.resident.current_view().revision,
            commands,
            took_us = began.elapsed().as_micros(),
            "commit"
        );
        !self.queue.is_empty()
    }

    /// Carries a batch out in one commit. The commands that it returns were not carried out and are to be tried
    /// one by one.
    async fn carry_out(&mut self, batch: Vec<QueuedCommand>) -> Vec<QueuedCommand> {
        if self.reload
            && let Err(error) = self.reload_account().await
        {
            self.fail_batch(batch, &error);
            return Vec::new();
        }
        let BatchDecision { view, at, results, changes } = match self.decide_batch(&batch).await {
            Ok(decision) => decision,
            Err(BatchError::Store(error)) => {
                self.fail_batch(batch, &error);
                return Vec::new();
            }
            Err(error) => return self.refuse_command(batch, error).await,
        };
        let claims = batch.iter().zip(&results);
        let records: Vec<_> =
            claims.filter_map(|(work, result)| Some(work.claim.as_ref()?.build_record(result, at))).collect();
        let committed = if changes.is_empty() && records.is_empty() {
            Ok(())
        } else {
            self.write_commit(&view, at, changes, records).await
        };
        if let Err(error @ StoreError::Refused(_)) = committed {
            return self.refuse_command(batch, error).await;
        }
        for (work, result) in batch.into_iter().zip(results) {
            work.send_outcome(match &committed {
                Ok(()) => CommandVerdict::Decided(result),
                Err(StoreError::Fenced | StoreError::Elsewhere(_) | StoreError::LeaseLost) => {
                    CommandVerdict::Moved
                }
                Err(StoreError::Unavailable(_) | StoreError::Refused(_) | StoreError::Corrupt(_)) => {
                    CommandVerdict::Failed(AccountError::Storage)
                }
            });
        }
        if self.fenced {
            self.queue.drain(..).for_each(|work| work.send_outcome(CommandVerdict::Moved));
        }
        Vec::new()
    }

    /// Returns the instant of the next commit: now, but later than the commit before it.
    async fn next_instant(&self) -> Timestamp {
        let earliest = self.parts.resident.current_view().committed_at.next();
        let clock = &self.context().clock;
        // By process time: a wall clock that is set back meanwhile must not delay the commit.
        if let Some(left) = earliest.duration_since(clock.read_now()).filter(|left| *left <= CLOCK_WAIT_MAX) {
            clock.sleep_for(left).await;
        }
        clock.read_now().max(earliest)
    }

    async fn write_commit(
        &mut self,
        view: &AccountView,
        at: Timestamp,
        mut changes: AccountChanges,
        records: Vec<IdempotencyRecord>,
    ) -> Result<(), StoreError> {
        let mut sequence = view.sequence;
        let types: EventTypes = changes.events.iter().map(EventKind::event_type).collect();
        let mut events = Vec::with_capacity(changes.events.len());
        for kind in std::mem::take(&mut changes.events) {
            sequence += 1;
            let id = EventId::from_bits(self.ids.next_bits(at.millis()));
            events.push(Event { id, sequence, created_at: at, kind });
        }
        let newest = view.newest_events.with_events(&events);
        let commit = AccountCommit {
            account_number: view.account.number,
            epoch: self.parts.epoch,
            revision: view.revision,
            sequence,
            at,
            changes: changes.clone(),
            events,
            records,
        };
        self.parts.resident.begin_commit();
        match self.context().store.commit(commit).await {
            Ok(()) => {}
            Err(error @ StoreError::Refused(_)) => {
                self.parts.resident.end_refused_commit();
                return Err(error);
            }
            Err(error) => {
                self.note_failure(&error);
                return Err(error);
            }
        }
        self.parts.has_parked |= !changes.parked.is_empty();
        self.publish_view(view, &changes, (sequence, newest), at);
        if !types.is_empty() {
            self.context().dispatcher.ring(&self.parts.slot, sequence, types);
        }
        self.ring_sender(&changes).await;
        Ok(())
    }

    fn publish_view(
        &mut self,
        view: &AccountView,
        changes: &AccountChanges,
        log_end: (i64, NewestEvents),
        at: Timestamp,
    ) {
        let mut threads = view.threads.clone();
        for thread in changes.conversations.values() {
            threads.put_conversation(thread.clone());
            self.index.index_conversation(thread);
        }
        // Trimming in steps of an eighth keeps its cost off most commits.
        if threads.len()
            > self.context().options.resident_conversations
                + self.context().options.resident_conversations / 8
        {
            for dropped in threads.trim_rows(self.context().options.resident_conversations) {
                self.index.forget_conversation(&dropped);
            }
        }
        for message in changes.messages.values() {
            self.index.put_message(message);
        }
        if let Some(account) = &changes.account {
            self.parts.slot.set_account(account.clone());
        }
        let (revision, sequence) = (view.revision + 1, log_end.0);
        self.parts.slot.raise_floor(CommitFloor { revision, sequence, at });
        let next = view.next(changes, log_end, at, threads);
        next.forget_messages(changes);
        self.parts.resident.publish_view(next);
        self.parts.resident.cycles.fetch_add(1, Ordering::Relaxed);
        self.context().metrics.commits.inc();
    }

    async fn ring_sender(&mut self, changes: &AccountChanges) {
        let moves = moves_of(changes);
        if moves.iter().any(|moved| moved.waiting.is_some()) {
            self.sender.wake_sender(SenderMessage::Follow(moves)).await;
        } else if !moves.is_empty() && self.parts.resident.sending.load(Ordering::Acquire) > 0 {
            let _nobody_waits = self.sender.send_moves(SenderMessage::Follow(moves));
        }
        if changes.account.is_some() {
            self.sender.wake_sender(SenderMessage::Look).await;
        }
        if !changes.read_receipts.is_empty() {
            self.sender.wake_sender(SenderMessage::TellRead(changes.read_receipts.clone())).await;
        }
    }

    fn note_failure(&mut self, error: &StoreError) {
        self.context().metrics.commit_failures.inc();
        let account = self.parts.slot.current_account().id;
        tracing::error!(%account, error = cause(error), "commit failed");
        self.reload = true;
        self.fenced = matches!(error, StoreError::Fenced | StoreError::Elsewhere(_) | StoreError::LeaseLost);
    }

    fn fail_batch(&mut self, batch: Vec<QueuedCommand>, error: &StoreError) {
        self.note_failure(error);
        for work in batch.into_iter().chain(self.fenced.then(|| self.queue.drain(..)).into_iter().flatten()) {
            let moved = self.fenced;
            work.send_outcome(if moved {
                CommandVerdict::Moved
            } else {
                CommandVerdict::Failed(AccountError::Storage)
            });
        }
    }
}
