//! The account actor: the only writer of its account.
//!
//! One arm per message, one call per arm; the work is plain methods of [`AccountState`]. Commands queue
//! in the actor; the first one posts a cycle behind everything that waits already, so that under
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

/// How a command ended, as the one who asked learns it.
pub(crate) enum CommandOutcome {
    /// Durable, if it changed anything.
    Decided(Result<CommandReply, CommandRefusal>),
    /// Not carried out.
    Failed(AccountError),
    /// Not carried out: the actor does not own the account any more. Ask the new owner.
    Moved(AccountCommand, Option<KeyClaim>),
}

/// How a command ended, as the actor knows it.
pub(crate) enum CommandVerdict {
    /// See [`CommandOutcome::Decided`].
    Decided(Result<CommandReply, CommandRefusal>),
    /// See [`CommandOutcome::Failed`].
    Failed(AccountError),
    /// See [`CommandOutcome::Moved`].
    Moved,
}

/// A command on its way.
pub(crate) struct QueuedCommand {
    pub(crate) command: AccountCommand,
    pub(crate) claim: Option<KeyClaim>,
    pub(crate) answer: oneshot::Sender<CommandOutcome>,
    /// Its place in the queue, given back when the work is done.
    pub(crate) permit: OwnedSemaphorePermit,
}

impl QueuedCommand {
    /// Answers the one who asked, who may have gone away: that does not undo what is durable.
    pub(crate) fn send_outcome(self, verdict: CommandVerdict) {
        // The place is free, and the key the caller's alone, before the answer is out.
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

/// What an account actor may be told.
pub(crate) enum AccountMessage {
    /// Queue this.
    Execute(Box<QueuedCommand>),
    /// Commit what is queued.
    Cycle,
    /// A commit failed a while ago: find out what has become of it, unless that is known by now.
    LookAgain,
    /// Finish what is queued, and stop. Sent when nothing can be queued any more.
    Retire,
}

/// See the module.
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
                    // Behind what is on its way.
                    myself.cast(AccountMessage::Retire)?;
                }
            }
        }
        Ok(())
    }
}
