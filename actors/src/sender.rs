//! The sender of an account: takes pending messages at the account's pace to WhatsApp and reports
//! how each ended, as a command.
//!
//! Invariants: the queue is the pending rows, so nothing is carried here that the store does not
//! have; a conversation's messages leave in order, one at a time; an attempt is durable before its
//! call is made. After a crash, a timeout or a lost answer WhatsApp may or may not have the message:
//! the row then waits for the echo in a status, and is tried again only when none has come in time.

mod attempt;
mod pace;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kabar_core::cause::cause;
use kabar_core::domain::account::AccountStatus;
use kabar_core::domain::command::{Command, Reply};
use kabar_core::domain::message::Message;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ConversationId, MessageId};
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};

use crate::accounts::Accounts;
use crate::resident::Resident;
use crate::slot::AccountSlot;
use pace::Pace;

/// Calls of one account to WhatsApp at a time.
const CALLS_MAX: usize = 32;
/// Pending rows read at a time.
const ROWS_MAX: usize = 2 * CALLS_MAX;

/// What a sender may be told.
pub(crate) enum SenderMessage {
    /// There may be something to send.
    Wake,
    /// Tell WhatsApp that these messages have been read. Best effort: it is a courtesy to the
    /// contact, and nothing here depends on it.
    TellRead(Vec<Arc<str>>),
    /// A call for this conversation has ended and is recorded.
    Ended(ConversationId),
}

/// The account actor's hold on its sender, which is started when first rung.
pub(crate) struct SenderSeat {
    accounts: Accounts,
    slot: Arc<AccountSlot>,
    resident: Arc<Resident>,
    sender: Option<ActorRef<SenderMessage>>,
}

impl SenderSeat {
    pub(crate) const fn new(accounts: Accounts, slot: Arc<AccountSlot>, resident: Arc<Resident>) -> Self {
        Self { accounts, slot, resident, sender: None }
    }

    /// Tells the sender something, starting it, or its successor, if need be.
    pub(crate) async fn ring(&mut self, message: SenderMessage) {
        let message = match &self.sender {
            Some(sender) => match sender.cast(message) {
                Err(MessagingErr::SendErr(message)) => message,
                Ok(()) | Err(MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => return,
            },
            None => message,
        };
        let parts = SenderState::new(self.accounts.clone(), self.slot.clone(), self.resident.clone());
        let supervisor = self.accounts.ground().supervisor.get_cell();
        match Actor::spawn_linked(None, Sender, parts, supervisor).await {
            Ok((sender, _joined)) => {
                // Just started, so it takes the message.
                let _taken = sender.cast(message);
                self.sender = Some(sender);
            }
            // The rows stay; the next ring tries again.
            Err(error) => tracing::error!(error = cause(&error), "sender not started"),
        }
    }

    pub(crate) fn stop(&self) {
        if let Some(sender) = &self.sender {
            sender.stop(None);
        }
    }
}

struct Sender;

struct SenderState {
    accounts: Accounts,
    slot: Arc<AccountSlot>,
    resident: Arc<Resident>,
    in_flight: HashSet<ConversationId>,
    pace: Pace,
    /// When the sender will look again by itself.
    alarm: Option<Timestamp>,
}

impl Actor for Sender {
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
        match message {
            SenderMessage::Wake => state.work(&myself).await,
            SenderMessage::TellRead(wamids) => state.tell_read(wamids),
            SenderMessage::Ended(conversation) => {
                state.in_flight.remove(&conversation);
                state.work(&myself).await;
            }
        }
        Ok(())
    }
}

impl SenderState {
    fn new(accounts: Accounts, slot: Arc<AccountSlot>, resident: Arc<Resident>) -> Self {
        Self { accounts, slot, resident, in_flight: HashSet::new(), pace: Pace::default(), alarm: None }
    }

    /// Starts as many calls as pace and limits allow, and sets the alarm for the rest.
    async fn work(&mut self, myself: &ActorRef<SenderMessage>) {
        let account = self.slot.account();
        if account.status != AccountStatus::Connected || self.in_flight.len() >= CALLS_MAX {
            return self.note_load(false);
        }
        let ground = self.accounts.ground();
        let now = ground.clock.now();
        let due = match ground.store.pending(account.number, now, ROWS_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(account = %account.id, error = cause(&error), "pending messages not read");
                return self.look_again_at(now.plus(attempt::STORE_RETRY), myself);
            }
        };
        let mut chosen = Vec::new();
        for message in due {
            if self.in_flight.len() + chosen.len() >= CALLS_MAX {
                break;
            }
            if self.in_flight.contains(&message.conversation_id) {
                continue;
            }
            if let Err(free_at) = self.pace.take(account.messages_per_second, now) {
                self.look_again_at(free_at, myself);
                break;
            }
            chosen.push(message.id);
        }
        if !chosen.is_empty() {
            self.begin(chosen, now, myself).await;
        }
        self.set_alarm(account.number, myself).await;
    }

    /// Makes the attempts durable, then the calls.
    async fn begin(&mut self, ids: Vec<MessageId>, now: Timestamp, myself: &ActorRef<SenderMessage>) {
        // Shutdown waits for whoever holds this, so what is begun is called, or nothing is begun.
        let _under_way = self.accounts.ground().tasks.token();
        if self.accounts.ground().stopping.is_cancelled() {
            return;
        }
        let settle_by = now.plus(self.accounts.ground().options.settle);
        let begun = self.accounts.execute(&self.slot, Command::BeginSends { ids, settle_by }, None).await;
        match begun {
            Ok(Ok(Reply::Sends(messages))) => {
                for message in messages {
                    self.call(message, myself);
                }
            }
            // Not begun, so not called: the rows are as they were.
            Ok(_) | Err(_) => self.look_again_at(now.plus(attempt::STORE_RETRY), myself),
        }
    }

    fn call(&mut self, message: Arc<Message>, myself: &ActorRef<SenderMessage>) {
        self.in_flight.insert(message.conversation_id);
        let (accounts, slot, myself) = (self.accounts.clone(), self.slot.clone(), myself.clone());
        self.accounts.ground().tasks.spawn(async move {
            let conversation = message.conversation_id;
            attempt::run(&accounts, &slot, &message).await;
            // A sender that has stopped has a successor, which reads the rows.
            let _stopped = myself.cast(SenderMessage::Ended(conversation));
        });
    }

    /// Looks again when the next pending message is due.
    async fn set_alarm(&mut self, number: i64, myself: &ActorRef<SenderMessage>) {
        let ground = self.accounts.ground();
        let next = ground.store.next_pending_at(number).await.unwrap_or_else(|error| {
            tracing::error!(error = cause(&error), "next pending message not read");
            Some(ground.clock.now().plus(attempt::STORE_RETRY))
        });
        self.note_load(next.is_some());
        // What is due already waits for a call in flight to end, or for the pace; either wakes us.
        if let Some(at) = next.filter(|at| *at > ground.clock.now()) {
            self.look_again_at(at, myself);
        }
    }

    fn look_again_at(&mut self, at: Timestamp, myself: &ActorRef<SenderMessage>) {
        let ground = self.accounts.ground();
        if self.alarm.is_some_and(|set| set <= at && set > ground.clock.now()) {
            return;
        }
        self.alarm = Some(at);
        self.note_load(true);
        let (clock, stopping, myself) = (ground.clock.clone(), ground.stopping.clone(), myself.clone());
        ground.tasks.spawn(async move {
            tokio::select! {
                () = clock.wait_until(at) => {
                    let _stopped = myself.cast(SenderMessage::Wake);
                }
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Keeps the account in memory while something is to be sent.
    fn note_load(&self, waiting: bool) {
        self.resident.sending.store(self.in_flight.len() + usize::from(waiting), Ordering::Release);
    }

    fn tell_read(&self, wamids: Vec<Arc<str>>) {
        let accounts = self.accounts.clone();
        let account = self.slot.account();
        self.accounts.ground().tasks.spawn(async move {
            let ground = accounts.ground();
            for wamid in wamids {
                let told = tokio::select! {
                    told = ground.graph.mark_read(&account, &wamid) => told,
                    () = ground.stopping.cancelled() => return,
                };
                if let Err(error) = told {
                    tracing::warn!(account = %account.id, error = cause(&error), "read receipt not taken");
                }
            }
        });
    }
}
