//! Handle to one account, for what works for it: its entry, and the way by which its commands are carried out.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kabar_core::domain::account::Account;
use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};

use super::entry::AccountEntry;
use crate::error::AccountError;

/// Outcome of a command, as its caller receives it.
pub(crate) type ExecutedCommand = Result<Result<CommandReply, CommandRefusal>, AccountError>;

/// Port by which a command reaches its account, loaded or not.
pub(crate) trait CommandExecutor: Send + Sync {
    /// Has an account carry out a command. Answers once the outcome is durable.
    fn execute_for<'a>(
        &'a self,
        entry: &'a Arc<AccountEntry>,
        command: AccountCommand,
    ) -> BoxFuture<'a, ExecutedCommand>;
}

/// Handle to one account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AccountHandle {
    entry: Arc<AccountEntry>,
    executor: Arc<dyn CommandExecutor>,
}

impl AccountHandle {
    pub(crate) const fn new(entry: Arc<AccountEntry>, executor: Arc<dyn CommandExecutor>) -> Self {
        Self { entry, executor }
    }

    /// Returns the account's entry of the directory.
    pub(crate) const fn entry(&self) -> &Arc<AccountEntry> {
        &self.entry
    }

    /// The account as of its last commit.
    pub(crate) fn current_account(&self) -> Arc<Account> {
        self.entry.current_account()
    }

    /// Has the account carry out a command. Answers once the outcome is durable.
    pub(crate) async fn execute_command(&self, command: AccountCommand) -> ExecutedCommand {
        self.executor.execute_for(&self.entry, command).await
    }
}
