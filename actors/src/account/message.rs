//! Messages of an account's actor, and the outcome of a command.

use kabar_core::domain::audit::AuditEntry;
use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::AccountError;
use crate::idempotency::KeyClaim;

/// Records that the commit of a command writes beside its changes.
#[derive(Default)]
pub(crate) struct CommandRecords {
    /// Idempotency key that the outcome is recorded under.
    pub(crate) claim: Option<KeyClaim>,
    /// Entry of the audit log.
    pub(crate) trail: Option<Box<AuditEntry>>,
}

/// Outcome of a command, as its caller receives it.
pub(crate) enum CommandOutcome {
    /// Durable, if it changed anything.
    Decided(Result<CommandReply, CommandRefusal>),
    /// Not carried out.
    Failed(AccountError),
    /// Not carried out: the actor does not own the account any more. Send the command to the new owner.
    Moved(AccountCommand, CommandRecords),
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
    pub(crate) records: CommandRecords,
    pub(crate) answer: oneshot::Sender<CommandOutcome>,
    /// Place in the account's queue; given back when the work is done.
    pub(crate) permit: OwnedSemaphorePermit,
}

impl QueuedCommand {
    /// Answers the caller. The caller may have gone away, which does not undo what is durable.
    pub(crate) fn send_outcome(self, verdict: CommandVerdict) {
        // The permit and the idempotency key are released before the answer is sent.
        drop(self.permit);
        if let (CommandVerdict::Decided(_), Some(claim)) = (&verdict, &self.records.claim) {
            claim.note_answered();
        }
        let outcome = match verdict {
            CommandVerdict::Moved => CommandOutcome::Moved(self.command, self.records),
            CommandVerdict::Decided(result) => {
                drop(self.records);
                CommandOutcome::Decided(result)
            }
            CommandVerdict::Failed(why) => {
                drop(self.records);
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
    /// Read the queue of messages to send again, because the tenant goes on after it was suspended.
    ReadQueue,
    /// Finish the queued commands and stop. Sent when nothing can be queued any more.
    Retire,
}
