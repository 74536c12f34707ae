//! The account actor: the only writer of its account.
//!
//! One arm per message, one call per arm; the work is plain methods of [`Ledger`]. Commands queue
//! in the actor; the first one posts a cycle behind everything that waits already, so that under
//! load one commit carries many commands.

mod cycle;
mod facts;
mod matters;

use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::surroundings;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::accounts::Unavailable;
use crate::idempotency::Claim;
pub(crate) use cycle::{Ledger, LedgerParts, note_lost_commits, view_of};

/// How a command ended, as the one who asked learns it.
pub(crate) enum Outcome {
    /// Durable, if it changed anything.
    Decided(Result<CommandReply, CommandRefusal>),
    /// Not carried out.
    Failed(Unavailable),
    /// Not carried out: the actor does not own the account any more. Ask the new owner.
    Moved(AccountCommand, Option<Claim>),
}

/// How a command ended, as the actor knows it.
pub(crate) enum Verdict {
    /// See [`Outcome::Decided`].
    Decided(Result<CommandReply, CommandRefusal>),
    /// See [`Outcome::Failed`].
    Failed(Unavailable),
    /// See [`Outcome::Moved`].
    Moved,
}

/// A command on its way.
pub(crate) struct Work {
    pub(crate) command: AccountCommand,
    pub(crate) claim: Option<Claim>,
    pub(crate) answer: oneshot::Sender<Outcome>,
    /// Its place in the queue, given back when the work is done.
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Work {
    /// Answers the one who asked, who may have gone away: that does not undo what is durable.
    pub(crate) fn answer(self, verdict: Verdict) {
        // The place is free, and the key the caller's alone, before the answer is out.
        drop(self.permit);
        if let (Verdict::Decided(_), Some(claim)) = (&verdict, &self.claim) {
            claim.note_answered();
        }
        let outcome = match verdict {
            Verdict::Moved => Outcome::Moved(self.command, self.claim),
            Verdict::Decided(result) => {
                drop(self.claim);
                Outcome::Decided(result)
            }
            Verdict::Failed(why) => {
                drop(self.claim);
                Outcome::Failed(why)
            }
        };
        let _gone = self.answer.send(outcome);
    }
}

/// What an account actor may be told.
pub(crate) enum AccountMessage {
    /// Queue this.
    Execute(Box<Work>),
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
    type State = Ledger;
    type Arguments = LedgerParts;

    async fn pre_start(
        &self,
        _myself: ActorRef<AccountMessage>,
        parts: LedgerParts,
    ) -> Result<Ledger, ActorProcessingErr> {
        let mut ledger = Ledger::open(parts);
        ledger.resume().await;
        Ok(ledger)
    }

    async fn handle(
        &self,
        myself: ActorRef<AccountMessage>,
        message: AccountMessage,
        ledger: &mut Ledger,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        match message {
            AccountMessage::Execute(work) => {
                if ledger.queue(*work) {
                    myself.cast(AccountMessage::Cycle)?;
                }
            }
            AccountMessage::Cycle | AccountMessage::LookAgain => {
                if matches!(message, AccountMessage::LookAgain) {
                    ledger.looks();
                }
                let again = Box::pin(ledger.cycle()).await;
                if ledger.is_fenced() {
                    ledger.release();
                } else if again {
                    myself.cast(AccountMessage::Cycle)?;
                } else if ledger.is_in_doubt() {
                    ledger.look_again(myself);
                }
            }
            AccountMessage::Retire => {
                if ledger.retire() {
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
