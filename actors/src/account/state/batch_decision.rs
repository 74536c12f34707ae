//! Decides a batch of commands: loads their rows, decides, and loads the rows that the rules found missing.
//!
//! Invariant: a batch is decided only on rows that were all looked up. A need that was not foreseen costs a
//! further round, never a wrong answer.

use std::sync::Arc;

use kabar_core::cause::cause;
use kabar_core::domain::command::{CommandRefusal, CommandReply};
use kabar_core::domain::decide::{DecideError, decide_command};
use kabar_core::domain::draft::{AccountChanges, Draft};
use kabar_core::domain::loaded_rows::LoadedRows;
use kabar_core::domain::row_needs::RowNeeds;
use kabar_core::domain::time::Timestamp;
use kabar_core::store::StoreError;

use super::AccountState;
use crate::account::command_info::is_outdated;
use crate::account::message::{CommandVerdict, QueuedCommand};
use crate::error::AccountError;
use crate::view::AccountView;

/// Most rounds in which one batch may be decided. Each round loads keys that the round before lacked. The
/// deepest chain of today's rules is three long (message, its conversation's unread messages, the contact).
const ROUNDS_MAX: usize = 8;

/// Results of a batch, and the changes to commit before the results are sent.
pub(super) struct BatchDecision {
    /// The view that was decided on.
    pub(super) view: Arc<AccountView>,
    /// The instant of the commit.
    pub(super) at: Timestamp,
    /// One for each command, in order.
    pub(super) results: Vec<Result<CommandReply, CommandRefusal>>,
    /// The changes of all commands together.
    pub(super) changes: AccountChanges,
}

/// Reason that a batch was not decided.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// The store works, but the rows that one of the commands needs cannot be read.
    #[error("the rows of a command cannot be read")]
    Unreadable(#[source] StoreError),
    /// A defect of the rules.
    #[error("rows are missing still after {ROUNDS_MAX} rounds")]
    TooManyRounds,
}

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::Keys(_) => Self::Unreadable(error),
            StoreError::Unavailable(_)
            | StoreError::Fenced
            | StoreError::Elsewhere(_)
            | StoreError::LeaseLost => Self::Store(error),
        }
    }
}

impl AccountState {
    /// Decides a batch on one draft.
    pub(super) async fn decide_batch(
        &mut self,
        batch: &[QueuedCommand],
    ) -> Result<BatchDecision, BatchError> {
        let view = self.parts.loaded.current_view();
        let mut needs = RowNeeds::default();
        for work in batch {
            needs.add_needs(&work.command);
        }
        let mut rows = LoadedRows::default();
        for _ in 0..ROUNDS_MAX {
            self.load_missing_rows(&view, needs, &mut rows).await?;
            let at = self.next_instant().await;
            match self.decide_on(&rows, &view, at, batch) {
                Ok(decision) => return Ok(decision),
                Err(missing) => needs = *missing,
            }
        }
        Err(BatchError::TooManyRounds)
    }

    /// Adds rows to `rows`: from memory where it has them, else from the store.
    async fn load_missing_rows(
        &mut self,
        view: &AccountView,
        mut needs: RowNeeds,
        rows: &mut LoadedRows,
    ) -> Result<(), StoreError> {
        if !self.parts.has_parked {
            for wamid in std::mem::take(&mut needs.parked) {
                rows.put_absent_parked(&wamid);
            }
        }
        if !self.parts.has_erased {
            for key in std::mem::take(&mut needs.erased) {
                rows.put_absent_erased(&key);
            }
        }
        if !view.has_templates {
            for key in std::mem::take(&mut needs.templates) {
                rows.put_absent_template(&key);
            }
        }
        self.index.answer_known(&view.conversations, &mut needs, rows);
        if !needs.is_empty() {
            let loaded = self.context().store.load_rows(view.account.number, &needs, &view.erasing).await?;
            self.index.note_templates(&loaded);
            rows.merge_rows(loaded);
        }
        Ok(())
    }

    /// Decides a batch, or returns the rows that its rules lack.
    fn decide_on(
        &mut self,
        rows: &LoadedRows,
        view: &Arc<AccountView>,
        at: Timestamp,
        batch: &[QueuedCommand],
    ) -> Result<BatchDecision, Box<RowNeeds>> {
        let loaded_at = self.parts.loaded.loaded_at();
        let wall_now = self.context().clock.read_now();
        let draft = Draft::new(view.account.clone(), rows.clone(), at, &mut *self.ids);
        let mut draft = draft.with_wall_time(wall_now);
        let mut results = Vec::with_capacity(batch.len());
        for work in batch {
            if is_outdated(&work.command, loaded_at) {
                results.push(Ok(CommandReply::Sends(Vec::new())));
                continue;
            }
            match decide_command(&mut draft, &work.command) {
                Ok(reply) => results.push(Ok(reply)),
                Err(DecideError::Refused(refusal)) => results.push(Err(refusal)),
                // The draft has recorded what is missing and does not finish. The other commands run, to
                // collect what they lack.
                Err(DecideError::NotLoaded(_)) => {}
            }
        }
        Ok(BatchDecision { view: view.clone(), at, results, changes: draft.into_changes()? })
    }

    /// Fails a command that the store or the rules refused for its own rows. Nothing was written, so memory
    /// stays as it is. The commands of a larger batch are returned, to be tried one by one. A command with a
    /// key that belongs to another call by now may be sent again, and is then given that call's answer.
    pub(super) async fn refuse_command<E: std::error::Error + Sync + 'static>(
        &self,
        batch: Vec<QueuedCommand>,
        error: E,
    ) -> Vec<QueuedCommand> {
        if batch.len() > 1 {
            return batch;
        }
        let account = self.account_id();
        for work in batch {
            let lost_key = match &work.records.claim {
                Some(claim) => claim.is_lost().await,
                None => false,
            };
            if lost_key {
                tracing::info!(%account, "command refused: its idempotency key belongs to another call");
                work.send_outcome(CommandVerdict::Failed(AccountError::Storage));
                continue;
            }
            self.context().metrics.commit_failures.inc();
            tracing::error!(%account, error = cause(&error), "command refused by the store");
            work.send_outcome(CommandVerdict::Failed(AccountError::Refused));
        }
        Vec::new()
    }
}
