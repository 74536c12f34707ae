//! The sender of an account: sends pending messages to WhatsApp at the account's rate, and records their outcomes
//! by commands.
//!
//! Invariants: the queue is the pending rows, so nothing is held here that the store does not have. A
//! conversation's messages leave in order, one at a time, and an attempt is durable before its call is made.
//! After a crash, a timeout or a lost answer, WhatsApp may or may not have the message. The row then waits for
//! the echo in a status, and is tried again only when none has come in time. Attempts and outcomes are written
//! many at a time.

mod attempt;
mod backlog;
mod schedule;
mod sender_handle;
mod sender_parts;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::account::AccountStatus;
use kabar_core::domain::command::{AccountCommand, CommandReply};
use kabar_core::domain::due_time::DueTime;
use kabar_core::domain::message::{Message, WaitingMessage};
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::domain::read_receipt::ReadReceipt;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::ConversationId;
use kabar_core::store::StoreError;
use kabar_core::surroundings;
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};

use crate::context::Context;
use crate::retry::STORE_RETRY;
use attempt::{FinishedSend, UnrecordedSend};
pub(crate) use backlog::MessageMove;
use backlog::SendBacklog;
use schedule::SendSchedule;
pub(crate) use sender_handle::SenderHandle;
pub(crate) use sender_parts::{GraphCalls, SenderParts};

/// Concurrent calls of one account: as many as leave in a second, within these bounds.
const CALLS_MIN: usize = 32;
const CALLS_MAX: usize = 512;
/// Most conversations with messages to send that are kept in memory; some 150 bytes each.
const CONVERSATIONS_MAX: usize = 10_000;
/// While more than those wait, shortest interval between two reads of the rest from the store.
const REFILL_EVERY: Duration = Duration::from_secs(1);
/// Longest wait of an outcome for others, to be written together with them.
const RECORD_WITHIN: Duration = Duration::from_millis(25);
/// Outcomes that are committed without further waiting.
const RECORDS_ENOUGH: usize = 128;

/// Messages that a sender handles.
pub(crate) enum SenderMessage {
    /// There may be something to do.
    Look,
    /// The queue in memory may be wrong: read it again.
    Reload,
    /// Outbound messages that a commit has changed, in their order.
    Follow(Vec<MessageMove>),
    /// Report these messages to WhatsApp as read. Best effort: only the contact sees it, and nothing here
    /// depends on it.
    TellRead(Vec<ReadReceipt>),
    /// A call has ended.
    Ended(Box<FinishedSend>),
    /// Ended calls have waited long enough to be recorded.
    Record,
    /// The outcomes of the calls for these conversations are recorded.
    Recorded(Vec<ConversationId>),
}

struct SendActor;

struct SenderState {
    parts: SenderParts,
    backlog: SendBacklog,
    /// Set when memory does not follow the store: read it before anything is sent.
    stale: bool,
    /// The loading of the account on which the queue in memory is based.
    loaded_at: MonotonicInstant,
    /// Earliest time to read what did not fit into memory from the store.
    refill_at: MonotonicInstant,
    /// No send begins before this time, because the store did not accept the last one.
    begin_at: MonotonicInstant,
    /// Calls under way.
    calls: usize,
    /// Calls that have ended and are to be recorded.
    ended: Vec<FinishedSend>,
    recording: bool,
    /// Time of the next look that is scheduled.
    alarm: Option<MonotonicInstant>,
}

impl Actor for SendActor {
    type Msg = SenderMessage;
    type State = SenderState;
    type Arguments = SenderState;

    async fn pre_start(
        &self,
        _myself: ActorRef<SenderMessage>,
        state: SenderState,
    ) -> Result<SenderState, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SenderMessage>,
        message: SenderMessage,
        state: &mut SenderState,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        match message {
            SenderMessage::Look => {}
            SenderMessage::Reload => state.stale = true,
            SenderMessage::Follow(moves) => state.follow_commit(moves),
            SenderMessage::TellRead(receipts) => state.tell_read(receipts),
            SenderMessage::Ended(ended) => state.take_in(*ended, &myself),
            SenderMessage::Record => state.record_ended(&myself),
            SenderMessage::Recorded(conversations) => state.settle_calls(&conversations, &myself),
        }
        state.start_calls(&myself).await;
        Ok(())
    }
}

impl SenderState {
    fn new(parts: SenderParts) -> Self {
        Self {
            parts,
            backlog: SendBacklog::new(CONVERSATIONS_MAX),
            stale: true,
            loaded_at: MonotonicInstant::START,
            refill_at: MonotonicInstant::START,
            begin_at: MonotonicInstant::START,
            calls: 0,
            ended: Vec::new(),
            recording: false,
            alarm: None,
        }
    }

    fn context(&self) -> &Context {
        &self.parts.context
    }

    fn now(&self) -> MonotonicInstant {
        self.context().clock.monotonic_now()
    }

    /// Returns the schedule that turns due times of rows into instants of this process, now.
    fn due_schedule(&self) -> SendSchedule {
        let context = self.context();
        SendSchedule {
            reading: context.clock.take_reading(),
            settle: context.options.settle,
            loaded_at: self.parts.loaded.loaded_at(),
        }
    }

    fn follow_commit(&mut self, moves: Vec<MessageMove>) {
        let schedule = self.due_schedule();
        for moved in moves {
            self.backlog.apply_moves(moved, &schedule);
        }
    }

    /// Starts as many calls as rate and limits allow, and sets the timer for the rest.
    async fn start_calls(&mut self, myself: &ActorRef<SenderMessage>) {
        let account = self.parts.account.current_account();
        if self.begin_at > self.now() {
            // A timer that was set for something else may have expired first.
            self.look_again_at(self.begin_at, myself);
        } else if account.status == AccountStatus::Connected && !self.parts.account.entry().is_suspended() {
            if let Err(error) = self.read_queue(account.number, myself).await {
                tracing::error!(account = %account.id, error = cause(&error), "send queue not read");
                return self.pause_calls(myself);
            }
            let now = self.now();
            self.backlog.wake_due(now);
            let pace = account.messages_per_second;
            let calls_max = usize::try_from(pace).unwrap_or(CALLS_MAX).clamp(CALLS_MIN, CALLS_MAX);
            // After a refusal of the account the first message goes alone: its outcome decides.
            let alone = account.recovery.is_some_and(|recovery| recovery.trial);
            let calls_max = if alone { 1 } else { calls_max };
            let room = calls_max.saturating_sub(self.backlog.count_away());
            let wanted = u32::try_from(self.backlog.count_ready().min(room)).unwrap_or(u32::MAX);
            let leave = self.parts.account.entry().lock_pace().take_allowance(wanted, pace, now);
            let departed = self.backlog.next_messages(usize::try_from(leave.messages).unwrap_or(0));
            if !departed.is_empty() {
                self.begin_calls(departed, now, myself).await;
                if self.backlog.has_unread() && !self.context().stopping.is_cancelled() {
                    // Messages that were not begun are read again, because nothing else may wake the sender.
                    let _just_here = myself.cast(SenderMessage::Look);
                }
            }
            for at in [leave.next_at, self.backlog.next_at()].into_iter().flatten() {
                self.look_again_at(at, myself);
            }
        }
        self.note_load(account.status);
    }

    /// Reads the part of the queue that is not in memory, if there is any.
    async fn read_queue(&mut self, number: i64, myself: &ActorRef<SenderMessage>) -> Result<(), StoreError> {
        let schedule = self.due_schedule();
        let (now, loaded_at) = (schedule.reading.monotonic, schedule.loaded_at);
        self.stale |= loaded_at != self.loaded_at;
        let short = self.backlog.is_truncated() && self.backlog.count_ready() == 0;
        if self.stale || short && self.refill_at <= now {
            let (last, rows_max) = (Timestamp::LAST, CONVERSATIONS_MAX + 1);
            let mut queue = self.context().store.load_queue(number, last, last, rows_max).await?;
            let (truncated, mut next_due) = (queue.len() > CONVERSATIONS_MAX, None);
            if truncated {
                let wall = schedule.reading.wall;
                let beyond = wall.plus_duration(schedule.wait_max());
                queue = self.context().store.load_queue(number, wall, beyond, CONVERSATIONS_MAX).await?;
                let due = self.context().store.next_due(number).await?;
                next_due = due.map(|due| now.saturating_plus(due.time_left(wall, schedule.wait_max())));
            }
            self.backlog.reload_queue(&queue, truncated, &schedule);
            self.stale = false;
            self.loaded_at = loaded_at;
            self.refill_at = now.saturating_plus(REFILL_EVERY).max(next_due.unwrap_or(now));
        }
        if self.backlog.is_truncated() {
            self.look_again_at(self.refill_at, myself);
        }
        let unread = self.backlog.unread_conversations();
        if !unread.is_empty() {
            let next = self.context().store.next_of(number, &unread).await?;
            self.backlog.apply_read(&unread, &next, &schedule);
        }
        Ok(())
    }

    /// Makes the attempts durable, then the calls.
    async fn begin_calls(
        &mut self,
        departed: Vec<WaitingMessage>,
        now: MonotonicInstant,
        myself: &ActorRef<SenderMessage>,
    ) {
        let settle = self.context().options.settle;
        // Counted from before the attempts are durable: another owner counts from later.
        let settles_at = now.saturating_plus(settle);
        // Shutdown waits for this token, so a send that is begun is also called, or none is begun.
        let _under_way = UnrecordedSend::count_call(&self.parts);
        let begun = if self.context().stopping.is_cancelled() {
            Vec::new()
        } else {
            let settle_by = DueTime::after_wait(self.context().clock.read_now(), settle);
            let command =
                AccountCommand::BeginSends { seen: departed.clone(), settle_by, loaded_at: self.loaded_at };
            if let Ok(Ok(CommandReply::Sends(messages))) = self.parts.account.execute_command(command).await {
                messages
            } else {
                // The sends may have begun without a call: the queue has the truth.
                self.stale = true;
                self.pause_calls(myself);
                Vec::new()
            }
        };
        let mut uncalled = departed.into_iter().peekable();
        // In the order in which they departed, except those that need not or must not be sent.
        for message in begun {
            while let Some(unbegun) = uncalled.next_if(|one| one.id != message.id) {
                self.backlog.return_unknown(unbegun.conversation_id);
            }
            uncalled.next();
            self.start_call(message, settles_at, myself);
        }
        uncalled.for_each(|one| self.backlog.return_unknown(one.conversation_id));
    }

    fn pause_calls(&mut self, myself: &ActorRef<SenderMessage>) {
        self.begin_at = self.now().saturating_plus(STORE_RETRY);
        self.look_again_at(self.begin_at, myself);
    }

    fn start_call(
        &mut self,
        message: Arc<Message>,
        settles_at: MonotonicInstant,
        myself: &ActorRef<SenderMessage>,
    ) {
        self.calls += 1;
        let (parts, myself) = (self.parts.clone(), myself.clone());
        let unrecorded = UnrecordedSend::count_call(&parts);
        self.context().tasks.spawn(async move {
            let ended = attempt::call_graph(&parts, &message, settles_at, unrecorded).await;
            let ended = Box::new(ended);
            if let Err(MessagingErr::SendErr(SenderMessage::Ended(ended))) =
                myself.cast(SenderMessage::Ended(ended))
            {
                // The sender has stopped; its successor reads the rows, which must have this outcome.
                let outcome = ended.outcome.map(|outcome| (ended.id, outcome));
                attempt::record_outcomes(&parts, outcome).await;
            }
        });
    }

    fn take_in(&mut self, ended: FinishedSend, myself: &ActorRef<SenderMessage>) {
        self.calls = self.calls.saturating_sub(1);
        let context = &*self.parts.context;
        if let Some(too_fast) = ended.too_fast {
            let account = self.parts.account.current_account();
            let (pace, now) = (account.messages_per_second, context.clock.monotonic_now());
            let mut slowed = self.parts.account.entry().lock_pace();
            if slowed.slow_down(pace, ended.begun_at, too_fast.pause, now) {
                context.metrics.slow_downs.inc();
                let pace = slowed.current_rate(pace, now);
                tracing::warn!(account = %account.id, pace, "WhatsApp finds the account too fast");
            }
        }
        self.ended.push(ended);
        let alone = self.calls == 0 || context.stopping.is_cancelled();
        if alone || self.ended.len() >= RECORDS_ENOUGH {
            self.record_ended(myself);
        } else if self.ended.len() == 1 {
            let (stopping, myself) = (context.stopping.clone(), myself.clone());
            context.tasks.spawn(async move {
                // Not by the injected clock: the pause spares the store and keeps no promise.
                let _stopped = tokio::time::timeout(RECORD_WITHIN, stopping.cancelled()).await;
                let _gone = myself.cast(SenderMessage::Record);
            });
        }
    }

    /// Records the outcomes of all ended calls together, unless that is under way.
    fn record_ended(&mut self, myself: &ActorRef<SenderMessage>) {
        if self.recording || self.ended.is_empty() {
            return;
        }
        self.recording = true;
        let ended = std::mem::take(&mut self.ended);
        let (parts, myself) = (self.parts.clone(), myself.clone());
        self.context().tasks.spawn(async move {
            let outcomes = ended.iter().filter_map(|one| Some((one.id, one.outcome.clone()?)));
            attempt::record_outcomes(&parts, outcomes).await;
            let conversations = ended.iter().map(|one| one.conversation).collect();
            let _gone = myself.cast(SenderMessage::Recorded(conversations));
        });
    }

    fn settle_calls(&mut self, conversations: &[ConversationId], myself: &ActorRef<SenderMessage>) {
        let now = self.now();
        for conversation in conversations {
            self.backlog.return_ended(*conversation, now);
        }
        self.recording = false;
        self.record_ended(myself);
    }

    fn look_again_at(&mut self, at: MonotonicInstant, myself: &ActorRef<SenderMessage>) {
        let context = &*self.parts.context;
        if self.alarm.is_some_and(|set| set <= at && set > context.clock.monotonic_now()) {
            return;
        }
        self.alarm = Some(at);
        let (clock, stopping, myself) = (context.clock.clone(), context.stopping.clone(), myself.clone());
        context.tasks.spawn(async move {
            tokio::select! {
                () = clock.wait_until(at) => {
                    let _stopped = myself.cast(SenderMessage::Look);
                }
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Keeps the account in memory while messages are to be sent.
    fn note_load(&self, status: AccountStatus) {
        // Messages that wait for the operator do not keep the account in memory.
        let stands_still = status != AccountStatus::Connected || self.parts.account.entry().is_suspended();
        let waiting = if stands_still { self.backlog.count_away() } else { self.backlog.len() };
        self.parts.loaded.sending.store(waiting, Ordering::Release);
    }

    fn tell_read(&self, receipts: Vec<ReadReceipt>) {
        let (parts, account) = (self.parts.clone(), self.parts.account.current_account());
        self.context().tasks.spawn(async move {
            for receipt in receipts {
                let told = tokio::select! {
                    told = parts.graph_calls.mark_read(&account, &receipt) => told,
                    () = parts.context.stopping.cancelled() => return,
                };
                if let Err(error) = told {
                    tracing::warn!(account = %account.id, error = cause(&error), "read receipt not taken");
                }
            }
        });
    }
}
