//! Commit of an account: takes the queued commands, writes one transaction, publishes the view, answers the
//! callers, and tells the sender and the listener.
//!
//! Invariant: no caller is answered, and no listener told, before the commit is durable and published.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kabar_core::cause::cause;
use kabar_core::domain::audit::{AuditEntry, AuditTarget, AuditTargetKind};
use kabar_core::domain::command::{CommandRefusal, CommandReply};
use kabar_core::domain::draft::AccountChanges;
use kabar_core::domain::event::{Event, EventKind, EventTypes};
use kabar_core::domain::log::NewestEvents;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::EventId;
use kabar_core::store::{AccountCommit, CommitFloor, IdempotencyRecord, StoreError};
use tracing::Instrument as _;

use super::AccountState;
use super::batch_decision::{BatchDecision, BatchError};
use crate::account::command_info::{IdentityCounts, count_items, moves_of};
use crate::account::message::{CommandRecords, CommandVerdict, QueuedCommand};
use crate::account::sender::SenderMessage;
use crate::error::AccountError;
use crate::view::AccountView;

/// Items (webhook items, or commands of one item) of one commit: about 25 ms of work on SQLite.
const ITEMS_MAX: usize = 1000;
/// Longest wait of a commit for the account clock. Behind a clock that was set back by more, the account clock
/// runs ahead instead, one millisecond per commit.
const CLOCK_WAIT_MAX: Duration = Duration::from_secs(1);

/// Records of a batch beside its changes.
struct CommitRecords {
    answers: Vec<IdempotencyRecord>,
    audit: Vec<AuditEntry>,
}

impl CommitRecords {
    /// Collects the answers of the commands that have a key, and the entries of those that were not refused.
    fn of_batch(
        batch: &[QueuedCommand],
        results: &[Result<CommandReply, CommandRefusal>],
        at: Timestamp,
    ) -> Self {
        let decided = || batch.iter().map(|work| &work.records).zip(results);
        let answer =
            |(records, result): (&CommandRecords, &_)| Some(records.claim.as_ref()?.build_record(result, at));
        let entry = |(records, result): (&CommandRecords, &Result<_, _>)| {
            let entry = records.trail.as_deref().filter(|_| result.is_ok()).cloned()?;
            Some(with_made_target(entry, result))
        };
        Self { answers: decided().filter_map(answer).collect(), audit: decided().filter_map(entry).collect() }
    }

    const fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.audit.is_empty()
    }
}

/// Names what a command has made as the target of its entry.
fn with_made_target(mut entry: AuditEntry, result: &Result<CommandReply, CommandRefusal>) -> AuditEntry {
    if let Ok(CommandReply::Template(template)) = result {
        entry.target = AuditTarget::one(AuditTargetKind::Template, &template.id);
    }
    entry
}

impl AccountState {
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
    pub(in crate::account) async fn run_commit(&mut self) -> bool {
        let batch = self.take_batch();
        if batch.is_empty() {
            self.recover_commit().await;
            return false;
        }
        let span = tracing::debug_span!("account.commit", account = %self.account_id());
        self.commit_batch(batch).instrument(span).await;
        !self.queue.is_empty()
    }

    async fn commit_batch(&mut self, batch: Vec<QueuedCommand>) {
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
            account = %self.account_id(),
            revision = self.parts.loaded.current_view().revision,
            commands,
            took_us = began.elapsed().as_micros(),
            "commit"
        );
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
        if changes.skipped_erased > 0 {
            self.context().metrics.note_skipped_items("erased", "", changes.skipped_erased);
        }
        let records = CommitRecords::of_batch(&batch, &results, at);
        let committed = if changes.is_empty() && records.is_empty() {
            self.send_receipts(&changes).await;
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
                Err(
                    StoreError::Unavailable(_)
                    | StoreError::Refused(_)
                    | StoreError::Corrupt(_)
                    | StoreError::Keys(_),
                ) => CommandVerdict::Failed(AccountError::Storage),
            });
        }
        if self.fenced {
            self.queue.drain(..).for_each(|work| work.send_outcome(CommandVerdict::Moved));
        }
        Vec::new()
    }

    /// Returns the instant of the next commit: now, but later than the commit before it.
    pub(super) async fn next_instant(&self) -> Timestamp {
        let earliest = self.parts.loaded.current_view().committed_at.next();
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
        records: CommitRecords,
    ) -> Result<(), StoreError> {
        let mut sequence = view.sequence;
        let types: EventTypes = changes.events.iter().map(EventKind::event_type).collect();
        let identities = IdentityCounts::of_events(&changes.events);
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
            records: records.answers,
            audit: records.audit,
        };
        self.parts.loaded.begin_commit();
        match self.context().store.commit(commit).await {
            Ok(()) => {}
            Err(error @ StoreError::Refused(_)) => {
                self.parts.loaded.end_refused_commit();
                return Err(error);
            }
            Err(error) => {
                self.note_failure(&error);
                return Err(error);
            }
        }
        self.count_kept(&changes, &identities);
        self.parts.has_parked |= !changes.parked.is_empty();
        self.parts.has_erased |= !changes.deleted.is_empty() || !changes.erased_keys.is_empty();
        self.publish_view(view, &changes, (sequence, newest), at);
        if !types.is_empty() {
            self.parts.listener.note_events(self.parts.account.entry(), sequence, types);
        }
        self.ring_sender(&changes).await;
        if !changes.deleted.is_empty() {
            self.parts.erasures.request_look(self.parts.account.entry());
        }
        Ok(())
    }

    /// Counts what a commit keeps and teaches.
    fn count_kept(&self, changes: &AccountChanges, identities: &IdentityCounts) {
        let metrics = &self.context().metrics;
        let bytes: usize = changes.raw.iter().map(|raw| raw.body.len()).sum();
        metrics.raw_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
        metrics.contacts_merged.inc_by(identities.merged);
        metrics.identifiers_learned.inc_by(identities.learned);
        metrics.contacts_deleted.inc_by(u64::try_from(changes.deleted.len()).unwrap_or(u64::MAX));
        // Until the next look counts them.
        metrics.erasures_pending.inc_by(i64::try_from(changes.deleted.len()).unwrap_or(0));
    }

    fn publish_view(
        &mut self,
        view: &AccountView,
        changes: &AccountChanges,
        log_end: (i64, NewestEvents),
        at: Timestamp,
    ) {
        let mut conversations = view.conversations.clone();
        for id in changes.deleted.iter().filter_map(|deleted| deleted.conversation) {
            if let Some(gone) = conversations.remove_conversation(id) {
                self.index.forget_conversation(&gone);
            }
            self.index.forget_messages(id);
        }
        for id in &changes.removed {
            self.index.forget_message(*id);
        }
        for conversation in changes.conversations.values() {
            conversations.put_conversation(conversation.clone());
            self.index.index_conversation(conversation);
        }
        // Trimming in steps of an eighth keeps its cost off most commits.
        if conversations.len()
            > self.context().options.resident_conversations
                + self.context().options.resident_conversations / 8
        {
            for dropped in conversations.trim_rows(self.context().options.resident_conversations) {
                self.index.forget_conversation(&dropped);
            }
        }
        for merge in &changes.merges {
            self.index.move_messages(*merge, at);
        }
        for message in changes.messages.values() {
            self.index.put_message(message);
        }
        for template in changes.templates.values() {
            self.index.put_template(&template.key, Some(template));
        }
        for key in changes.removed_templates.values() {
            self.index.put_template(key, None);
        }
        if let Some(account) = &changes.account {
            self.parts.account.entry().set_account(account.clone());
        }
        let (revision, sequence) = (view.revision + 1, log_end.0);
        self.parts.account.entry().raise_floor(CommitFloor { revision, sequence, at });
        let next = view.next(changes, log_end, at, conversations);
        next.forget_messages(changes);
        self.parts.loaded.publish_view(next);
        self.parts.loaded.cycles.fetch_add(1, Ordering::Relaxed);
        self.context().metrics.commits.inc();
    }

    async fn ring_sender(&mut self, changes: &AccountChanges) {
        if !changes.merges.is_empty() || !changes.deleted.is_empty() {
            // Messages that wait have changed their conversation, or are gone.
            self.sender.wake_sender(SenderMessage::Reload).await;
        }
        let moves = moves_of(changes);
        if moves.iter().any(|moved| moved.waiting.is_some()) {
            self.sender.wake_sender(SenderMessage::Follow(moves)).await;
        } else if !moves.is_empty() && self.parts.loaded.sending.load(Ordering::Acquire) > 0 {
            let _nobody_waits = self.sender.send_moves(SenderMessage::Follow(moves));
        }
        if changes.account.is_some() {
            self.sender.wake_sender(SenderMessage::Look).await;
        }
        if changes.asks_profile {
            self.parts.graph_calls.profiles.request_look(self.parts.account.entry());
        }
        if changes.asks_templates {
            self.parts.graph_calls.templates.request_look(self.parts.account.entry());
        }
        self.send_receipts(changes).await;
    }

    /// Has messages reported as read.
    async fn send_receipts(&mut self, changes: &AccountChanges) {
        if !changes.read_receipts.is_empty() {
            self.sender.wake_sender(SenderMessage::TellRead(changes.read_receipts.clone())).await;
        }
    }

    pub(super) fn note_failure(&mut self, error: &StoreError) {
        self.context().metrics.commit_failures.inc();
        let account = self.account_id();
        tracing::error!(%account, error = cause(error), "commit failed");
        self.reload = true;
        self.fenced = matches!(error, StoreError::Fenced | StoreError::Elsewhere(_) | StoreError::LeaseLost);
    }

    fn fail_batch(&mut self, batch: Vec<QueuedCommand>, error: &StoreError) {
        self.note_failure(error);
        for work in batch.into_iter().chain(self.fenced.then(|| self.queue.drain(..)).into_iter().flatten()) {
            work.send_outcome(if self.fenced {
                CommandVerdict::Moved
            } else {
                CommandVerdict::Failed(AccountError::Storage)
            });
        }
    }
}
