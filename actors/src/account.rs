//! The account actor: the only writer of its account.
//!
//! One arm per message, one call per arm; the work is plain methods of [`AccountState`]. Commands queue in the
//! actor. The first one posts a [`AccountMessage::Cycle`] behind the messages that wait already, so that under
//! load one commit carries many commands.

mod command_info;
mod recent_rows;
mod state;

use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::surroundings;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::accounts::AccountError;
use crate::idempotency::KeyClaim;
pub(crate) use state::{AccountState, AccountStateParts, note_lost_commits, view_of};

/// Outcome of a command, as its caller receives it.
pub(crate) enum CommandOutcome {
    /// Durable, if it changed anything.
    Decided(Result<CommandReply, CommandRefusal>),
    /// Not carried out.
    Failed(AccountError),
    /// Not carried out: the actor does not own the account any more. Send the command to the new owner.
    Moved(AccountCommand, Option<KeyClaim>),
}

/// Outcome of a command, as the actor records it.
pub(crate) enum CommandVerdict {
    /// See [`CommandOutcome::Decided`].
    Decided(Result<CommandReply, CommandRefusal>),
    /// See [`CommandOutcome::Failed`].
    Failed(AccountError),
    /// See [`CommandOutcome::Moved`].
    Moved,
}

/// A queued command, with the channel for its answer.
pub(crate) struct QueuedCommand {
    pub(crate) command: AccountCommand,
    pub(crate) claim: Option<KeyClaim>,
    pub(crate) answer: oneshot::Sender<CommandOutcome>,
    /// Place in the account's queue; given back when the work is done.
    pub(crate) permit: OwnedSemaphorePermit,
}

impl QueuedCommand {
    /// Answers the caller. The caller may have gone away, which does not undo what is durable.
    pub(crate) fn send_outcome(self, verdict: CommandVerdict) {
        // The permit and the idempotency key are released before the answer is sent.
        drop(self.permit);
        if let (CommandVerdict::Decided(_), Some(claim)) = (&verdict, &self.claim) {
            claim.note_answered();
        }
        let outcome = match verdict {
            CommandVerdict::Moved => CommandOutcome::Moved(self.command, self.claim),
            CommandVerdict::Decided(result) => {
                drop(self.claim);
                CommandOutcome::Decided(result)
            }
            CommandVerdict::Failed(why) => {
                drop(self.claim);
                CommandOutcome::Failed(why)
            }
        };
        let _gone = self.answer.send(outcome);
    }
}

/// Messages that an account actor handles.
pub(crate) enum AccountMessage {
    /// Queue this command.
    Execute(Box<QueuedCommand>),
    /// Commit the queued commands.
    Cycle,
    /// A commit failed a while ago: read its result from the store, unless that is known by now.
    LookAgain,
    /// Finish the queued commands and stop. Sent when nothing can be queued any more.
    Retire,
}

/// Actor that owns the [`AccountState`] of one account and is its only writer.
pub(crate) struct AccountActor;

impl Actor for AccountActor {
    type Msg = AccountMessage;
    type State = AccountState;
    type Arguments = AccountStateParts;

    async fn pre_start(
        &self,
        _myself: ActorRef<AccountMessage>,
        parts: AccountStateParts,
    ) -> Result<AccountState, ActorProcessingErr> {
        let mut ledger = AccountState::open(parts);
        ledger.resume_sends().await;
        Ok(ledger)
    }

    async fn handle(
        &self,
        myself: ActorRef<AccountMessage>,
        message: AccountMessage,
        ledger: &mut AccountState,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        match message {
            AccountMessage::Execute(work) => {
                if ledger.queue_command(*work) {
                    myself.cast(AccountMessage::Cycle)?;
                }
            }
            AccountMessage::Cycle | AccountMessage::LookAgain => {
                if matches!(message, AccountMessage::LookAgain) {
                    ledger.retry_recovery();
                }
                let again = Box::pin(ledger.run_commit()).await;
                if ledger.is_fenced() {
                    ledger.release_account();
                } else if again {
                    myself.cast(AccountMessage::Cycle)?;
                } else if ledger.is_in_doubt() {
                    ledger.look_again(myself);
                }
            }
            AccountMessage::Retire => {
                if ledger.retire_owner() {
                    myself.stop(None);
                } else {
                    // Posted again, behind the commands that are under way.
                    myself.cast(AccountMessage::Retire)?;
                }
            }
        }
        Ok(())
    }
}
