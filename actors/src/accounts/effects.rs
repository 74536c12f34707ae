//! Carries out the effects that hooks request.
//!
//! Invariants: one look at an account's effects is under way at a time, and effects are carried out in the
//! order of the log. Waiting effects are in the store, so a crash loses nothing. The account itself ensures
//! that none is carried out twice. Those of a suspended tenant wait. An effect costs a token of its tenant's write
//! budget, as the same call by API would.

use std::sync::Arc;

use kabar_core::cause::cause;
use kabar_core::domain::command::{AccountCommand, ConversationPatch, EffectAction, EffectCommand};
use kabar_core::domain::effect::{Effect, EffectRefusal, EffectRow};
use kabar_core::store::StoreError;

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LookRequests};
use crate::error::AccountError;
use crate::tenants::{BudgetClass, OrganisationEntry};

/// Most effects of one command.
const BATCH: usize = 100;

impl AccountRegistry {
    /// Carries out the effects of the accounts for which that is asked, until shutdown.
    pub(super) async fn keep_carrying_out(&self, mut requests: LookRequests) {
        self.serve_requests(
            &mut requests,
            |accounts, entry| async move { accounts.carry_out_all(&entry).await },
        )
        .await;
    }

    /// Carries out the waiting effects of an account.
    async fn carry_out_all(&self, entry: &Arc<AccountEntry>) {
        self.repeat_looks(&self.0.effects, entry, "effects held up", || self.carry_out_some(entry)).await;
    }

    /// Carries out some of the waiting effects; `false` when there are none.
    async fn carry_out_some(&self, entry: &Arc<AccountEntry>) -> Result<bool, AccountError> {
        if entry.is_suspended() {
            // They wait, and are looked at when the tenant goes on.
            return Ok(false);
        }
        let context = self.context();
        let account = entry.current_account();
        let waiting = context.store.pending_effects(account.number, BATCH).await;
        let waiting = waiting.map_err(|error| unread(&error))?;
        if waiting.is_empty() {
            return Ok(false);
        }
        let organisation =
            self.0.directory.find_entry(account.organisation_id).ok_or(AccountError::Storage)?;
        let count = waiting.len();
        let mut orders = Vec::with_capacity(count);
        for row in waiting {
            orders.push(self.effect_command(&organisation, row).await);
        }
        let refused = orders.iter().filter(|order| order.deed.is_err()).count();
        let done = self.execute_command(entry, AccountCommand::CarryOut(orders), None).await?;
        if let Err(refusal) = done {
            // Each effect has its own refusals; the command has none.
            tracing::error!(account = %account.id, error = cause(&refusal), "effects refused");
        }
        context.metrics.hook_effects.inc_by(u64::try_from(count - refused).unwrap_or(0));
        Ok(true)
    }

    /// Translates an effect into a command for the account.
    async fn effect_command(&self, organisation: &OrganisationEntry, row: EffectRow) -> EffectCommand {
        let context = self.context();
        let tenant = organisation.get();
        let quote = organisation.take_token(BudgetClass::Write, context.clock.read_now()).await;
        if quote.retry_after_s.is_some() {
            return EffectCommand { id: row.id, deed: Err(EffectRefusal::OverBudget) };
        }
        let deed = match row.effect {
            Effect::Send(outgoing) => Ok(EffectAction::Send(outgoing)),
            Effect::MarkRead(mark) => Ok(EffectAction::MarkRead(mark)),
            Effect::UpdateConversation { id, status, assigned_to } => {
                let assignee = match assigned_to {
                    None => Ok(None),
                    Some(None) => Ok(Some(None)),
                    Some(Some(user)) => {
                        let user = self.0.directory.find_user(tenant.id, user);
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
            let entry = self.0.directory.account_of_row(account);
            if let Some(entry) = entry.filter(|entry| !entry.is_suspended()) {
                self.0.effects.request_look(&entry);
            }
        }
        Ok(())
    }
}

fn unread(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "effects not read")
}
