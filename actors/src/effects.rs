//! Carries out the effects that hooks request.
//!
//! Invariants: one look at an account's effects is under way at a time, and effects are carried out in the
//! order of the log. Waiting effects are in the store, so a crash loses nothing. The account itself ensures
//! that none is carried out twice. An effect costs a token of its tenant's write budget, as the same call by
//! API would.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::command::{AccountCommand, ConversationPatch, EffectAction, EffectCommand};
use kabar_core::domain::effect::{Effect, EffectRefusal, EffectRow};
use kabar_core::store::StoreError;

use crate::account_entry::AccountEntry;
use crate::accounts::{AccountError, AccountRegistry};
use crate::tenants::{BudgetClass, OrganisationEntry};

/// Most effects of one command.
const BATCH: usize = 100;
/// Pause before a failed look is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Accounts with a look under way, and a flag for one more look.
#[derive(Debug, Default)]
pub(crate) struct EffectLooks(Mutex<HashMap<i64, bool>>);

impl EffectLooks {
    /// Returns `true` when no look at this account is under way; otherwise has the one under way look once
    /// more.
    fn begin_look(&self, account: i64) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.insert(account, true).is_none()
    }

    /// Clears the flag before a look: effects that come from now on need another one.
    fn note_look(&self, account: i64) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.insert(account, false);
    }

    /// Ends a look that found nothing; `true` when no further one is requested.
    fn end_look(&self, account: i64) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let done = looks.get(&account).is_none_or(|again| !again);
        if done {
            looks.remove(&account);
        }
        done
    }

    /// Removes the account without a further look.
    fn abandon_look(&self, account: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&account);
    }
}

impl AccountRegistry {
    /// Looks for waiting effects of an account, and carries them out.
    pub(crate) fn carry_out(&self, slot: &Arc<AccountEntry>) {
        let account = slot.current_account().number;
        if !self.context().looks.begin_look(account) || self.context().stopping.is_cancelled() {
            return;
        }
        let (accounts, slot) = (self.clone(), slot.clone());
        self.context().tasks.spawn(async move {
            let looks = &accounts.context().looks;
            loop {
                looks.note_look(account);
                match accounts.carry_out_some(&slot).await {
                    Ok(0) if looks.end_look(account) => return,
                    Ok(_) => {}
                    // The node that serves the account looks by itself.
                    Err(AccountError::Elsewhere) => return looks.abandon_look(account),
                    Err(error) => {
                        tracing::warn!(account = %slot.current_account().id, error = cause(&error), "effects held up");
                                                tokio::select! {
                            () = accounts.context().clock.sleep_for(RETRY) => {}
                            () = accounts.context().stopping.cancelled() => return looks.abandon_look(account),
                        }
                    }
                }
            }
        });
    }

    async fn carry_out_some(&self, slot: &Arc<AccountEntry>) -> Result<usize, AccountError> {
        let ground = self.context();
        let account = slot.current_account();
        let waiting = ground.store.pending_effects(account.number, BATCH).await;
        let waiting = waiting.map_err(|error| unread(&error))?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let organisation =
            ground.directory.find_entry(account.organisation_id).ok_or(AccountError::Storage)?;
        let count = waiting.len();
        let mut orders = Vec::with_capacity(count);
        for row in waiting {
            orders.push(self.effect_command(&organisation, row).await);
        }
        let refused = orders.iter().filter(|order| order.deed.is_err()).count();
        let done = self.execute_command(slot, AccountCommand::CarryOut(orders), None).await?;
        if let Err(refusal) = done {
            // Each effect has its own refusals; the command has none.
            tracing::error!(account = %account.id, error = cause(&refusal), "effects refused");
        }
        ground.metrics.hook_effects.inc_by(u64::try_from(count - refused).unwrap_or(0));
        Ok(count)
    }

    /// Translates an effect into a command for the account.
    async fn effect_command(&self, organisation: &OrganisationEntry, row: EffectRow) -> EffectCommand {
        let ground = self.context();
        let tenant = organisation.get();
        if tenant.suspended {
            return EffectCommand { id: row.id, deed: Err(EffectRefusal::Suspended) };
        }
        let quote = organisation.take_token(BudgetClass::Write, ground.clock.read_now()).await;
        if quote.retry_after_s.is_some() {
            return EffectCommand { id: row.id, deed: Err(EffectRefusal::OverBudget) };
        }
        let deed = match row.effect {
            Effect::Send(outgoing) => Ok(EffectAction::Send(outgoing)),
            Effect::MarkRead { wamid } => Ok(EffectAction::MarkRead(wamid)),
            Effect::UpdateConversation { id, status, assigned_to } => {
                let assignee = match assigned_to {
                    None => Ok(None),
                    Some(None) => Ok(Some(None)),
                    Some(Some(user)) => {
                        let user = ground.directory.find_user(tenant.id, user);
                        user.map(|user| Some(Some(user))).ok_or(EffectRefusal::NoUser)
                    }
                };
                assignee.map(|assignee| EffectAction::Patch(ConversationPatch { id, status, assignee }))
            }
        };
        EffectCommand { id: row.id, deed }
    }

    /// Carries out effects that were left since before the last stop, or by a dead node.
    pub(crate) async fn resume_effects(&self) -> Result<(), AccountError> {
        let waiting = self.context().store.unserved_with_effects().await;
        for account in waiting.map_err(|error| unread(&error))? {
            if let Some(slot) = self.context().directory.account_of_row(account) {
                self.carry_out(&slot);
            }
        }
        Ok(())
    }
}

fn unread(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "effects not read")
}
