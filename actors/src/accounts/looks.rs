//! Repeats the looks at one account: for effects that wait, for what is left to erase, or for what WhatsApp tells.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::fair_bound::FairBound;

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LookQueue, LookRequests};
use crate::error::AccountError;
use crate::retry::pause_for_retry;

/// Waits before a call to WhatsApp that failed is repeated.
const RETRY_WAITS: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(10)];

impl AccountRegistry {
    /// Serves each account for which that is asked by a task of its own, until shutdown.
    pub(super) async fn serve_requests<F>(
        &self,
        requests: &mut LookRequests,
        serve: impl Fn(Self, Arc<AccountEntry>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let context = self.context();
        while let Some(Some(entry)) = context.stopping.run_until_cancelled(requests.recv()).await {
            context.tasks.spawn(serve(self.clone(), entry));
        }
    }

    /// Asks WhatsApp about an account until no further call is requested, or the server stops. A call that failed
    /// (`false`) is repeated twice. Each takes a permit of the bound.
    pub(super) async fn repeat_calls<F>(
        &self,
        queue: &LookQueue,
        bound: &Arc<FairBound>,
        entry: &Arc<AccountEntry>,
        call: impl Fn() -> F,
    ) where
        F: Future<Output = bool>,
    {
        let context = self.context();
        let account = entry.current_account();
        let number = account.number;
        let calls = async {
            let mut waits = RETRY_WAITS.iter();
            loop {
                let Ok(permit) = bound.acquire(account.organisation_id).await else { return };
                queue.note_look(number);
                let is_done = call().await;
                drop(permit);
                if !is_done && let Some(wait) = waits.next() {
                    // A look that is requested meanwhile is this one's repetition.
                    context.clock.sleep_for(*wait).await;
                } else if queue.end_look(number) {
                    return;
                }
            }
        };
        context.stopping.run_until_cancelled(calls).await;
    }

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
