//! Repeats the looks at one account: for effects that wait, or for what is left to erase.

use std::sync::Arc;

use kabar_core::cause::cause;

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LookQueue};
use crate::error::AccountError;
use crate::retry::pause_for_retry;

impl AccountRegistry {
    /// Looks at an account until a look finds nothing (`false`) and no further one is requested. A look that fails is
    /// repeated after a pause, until the server stops; the log then says that the work is `held_up`.
    pub(super) async fn repeat_looks<F>(
        &self,
        queue: &LookQueue,
        entry: &Arc<AccountEntry>,
        held_up: &'static str,
        look: impl Fn() -> F,
    ) where
        F: Future<Output = Result<bool, AccountError>>,
    {
        let context = self.context();
        let number = entry.current_account().number;
        loop {
            queue.note_look(number);
            match look().await {
                Ok(false) if queue.end_look(number) => return,
                Ok(_) => {}
                // The node that serves the account looks by itself.
                Err(AccountError::Elsewhere) => return queue.abandon_look(number),
                Err(error) => {
                    let account = entry.current_account().id;
                    tracing::warn!(%account, error = cause(&error), "{held_up}");
                    if !pause_for_retry(&context.clock, &context.stopping).await {
                        return queue.abandon_look(number);
                    }
                }
            }
        }
    }
}
