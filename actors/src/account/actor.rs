//! The account actor: the only writer of its account.
//!
//! One arm per message, one call per arm; the work is plain methods of [`AccountState`]. Commands queue in the
//! actor. The first one posts a [`AccountMessage::Cycle`] behind the messages that wait already, so that under
//! load one commit carries many commands.

use kabar_core::surroundings;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::message::AccountMessage;
use super::state::{AccountState, AccountStateParts};

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
        let mut state = AccountState::open(parts);
        state.resume_sends().await;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<AccountMessage>,
        message: AccountMessage,
        state: &mut AccountState,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        match message {
            AccountMessage::Execute(work) => {
                if state.queue_command(*work) {
                    myself.cast(AccountMessage::Cycle)?;
                }
            }
            AccountMessage::Cycle | AccountMessage::LookAgain => {
                if matches!(message, AccountMessage::LookAgain) {
                    state.retry_recovery();
                }
                let again = Box::pin(state.run_commit()).await;
                if state.is_fenced() {
                    state.release_account();
                } else if again {
                    myself.cast(AccountMessage::Cycle)?;
                } else if state.is_in_doubt() {
                    state.look_again(myself);
                }
            }
            AccountMessage::ReadQueue => state.read_queue_again().await,
            AccountMessage::Retire => {
                if state.retire_owner() {
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
