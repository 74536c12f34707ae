//! Templates of the accounts: looks at WhatsApp's list of them, and submissions of new ones.
//!
//! Invariants: no server looks at an account that another one serves. A bounded number of calls is under way, and one
//! list of an account is read at a time. A list that cannot be read to its end removes nothing. WhatsApp is called
//! before the commit: what it has taken without the commit is told by its webhook, or by its list.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::account::{Account, AccountStatus};
use kabar_core::domain::audit::AuditEntry;
use kabar_core::domain::command::{AccountCommand, CommandReply};
use kabar_core::domain::page::NamedTemplateQuery;
use kabar_core::domain::template::{NewTemplate, TemplateCounts, TemplateKey};
use kabar_core::domain::time::Timestamp;
use kabar_core::fair_bound::FairPermit;
use kabar_core::meta::errors::message_error;
use kabar_core::meta::graph::TemplateCallError;

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LookRequests};
use crate::error::AccountError;
use crate::idempotency::KeyClaim;

/// Calls about templates under way at once.
pub(super) const TEMPLATE_CALLS_MAX: usize = 4;
/// Pages of one list, at most: 100 templates each, and Meta allows 6 000 names.
const PAGES_MAX: usize = 500;
/// Longest time for which a list is read: a list that takes longer holds up those of others.
const LIST_TIMEOUT: Duration = Duration::from_mins(5);
/// Templates that one commit removes, at most.
const REMOVED_MAX: usize = 500;

/// Reason for which a call about templates was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The account cannot call WhatsApp.
    #[error("the account is {}", .0.as_str())]
    NotConnected(AccountStatus),
    /// Templates belong to a WhatsApp Business Account, and the account's is not known.
    #[error("the WhatsApp Business Account of the number is not known")]
    NoBusinessAccount,
    /// WhatsApp's answer, or its lack.
    #[error(transparent)]
    Call(#[from] TemplateCallError),
    /// The account was not served.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl AccountRegistry {
    /// Has WhatsApp's list of an account's templates looked at soon.
    pub fn look_at_templates(&self, entry: &Arc<AccountEntry>) {
        self.0.graph_calls.templates.request_look(entry);
    }

    /// Looks at the lists of the accounts for which that is asked, until shutdown.
    pub(super) async fn keep_syncing_templates(&self, mut requests: LookRequests) {
        self.serve_requests(&mut requests, |accounts, entry| async move {
            let (queue, bound) = (&accounts.0.graph_calls.templates, &accounts.0.template_calls);
            accounts.repeat_calls(queue, bound, &entry, || accounts.look_at_list(&entry)).await;
        })
        .await;
    }

    /// Looks at an account's list, if it has one. Returns `false` when that failed.
    async fn look_at_list(&self, entry: &Arc<AccountEntry>) -> bool {
        let account = entry.current_account();
        if account.status != AccountStatus::Connected || account.profile.waba_id.is_none() {
            return true;
        }
        let looked = match self.is_served_here(entry).await {
            Ok(true) => self.read_list(entry, None).await.map(drop),
            Ok(false) => return true,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &looked {
            tracing::info!(account = %account.id, error = cause(error), "templates not read");
        }
        looked.is_ok()
    }

    /// Takes over WhatsApp's list of an account's templates. The first commit leaves the entry in the audit log.
    ///
    /// # Errors
    /// [`TemplateError`]; what was read until then stays.
    pub async fn sync_templates(
        &self,
        entry: &Arc<AccountEntry>,
        trail: AuditEntry,
    ) -> Result<TemplateCounts, TemplateError> {
        // Here, or at the node that serves it.
        self.load_account(entry).await?;
        let account = entry.current_account();
        let _permit = self.permit_call(&account).await?;
        self.read_list(entry, Some(trail)).await
    }

    async fn permit_call(&self, account: &Account) -> Result<FairPermit, TemplateError> {
        if account.status != AccountStatus::Connected {
            return Err(TemplateError::NotConnected(account.status));
        }
        let permit = self.0.template_calls.acquire(account.organisation_id).await;
        permit.map_err(|_full| AccountError::Overloaded.into())
    }

    /// Reads the list, and counts how that ends.
    async fn read_list(
        &self,
        entry: &Arc<AccountEntry>,
        trail: Option<AuditEntry>,
    ) -> Result<TemplateCounts, TemplateError> {
        let metrics = &self.context().metrics;
        let _alone = entry.listing_templates.lock().await;
        let read = self.read_pages(entry, trail).await;
        metrics.template_syncs.inc();
        if read.is_err() {
            metrics.template_sync_failures.inc();
        }
        read
    }

    async fn read_pages(
        &self,
        entry: &Arc<AccountEntry>,
        mut trail: Option<AuditEntry>,
    ) -> Result<TemplateCounts, TemplateError> {
        let account = entry.current_account();
        let waba_id = account.profile.waba_id.clone().ok_or(TemplateError::NoBusinessAccount)?;
        let (clock, listed_at) = (&self.context().clock, self.context().clock.read_now());
        let deadline = clock.monotonic_now().saturating_plus(LIST_TIMEOUT);
        let client = &self.0.graph_calls.client;
        let (mut counts, mut listed) = (TemplateCounts::default(), HashSet::new());
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = client.list_templates(&account, &waba_id, after.as_deref()).await?;
            listed.extend(page.templates.iter().map(|one| one.key.clone()));
            if !page.templates.is_empty() {
                let command = AccountCommand::RecordTemplates(page.templates);
                let reply = self.execute_template(entry, command, None, trail.take()).await?;
                if let CommandReply::Templates(part) = reply {
                    counts.created += part.created;
                    counts.updated += part.updated;
                    counts.synced += part.synced;
                }
            }
            let Some(next) = page.next else {
                self.remove_unlisted(entry, &listed, listed_at, trail).await?;
                return Ok(counts);
            };
            if after.as_ref() == Some(&next) || clock.monotonic_now() >= deadline {
                break;
            }
            after = Some(next);
        }
        let error = message_error(None, "WhatsApp's list of templates does not end");
        Err(TemplateCallError::Unanswered(error).into())
    }

    /// Removes the templates that a list read to its end does not have.
    async fn remove_unlisted(
        &self,
        entry: &Arc<AccountEntry>,
        listed: &HashSet<TemplateKey>,
        listed_at: Timestamp,
        mut trail: Option<AuditEntry>,
    ) -> Result<(), TemplateError> {
        let view = self.load_account(entry).await?.current_view();
        let mut gone = Vec::new();
        if view.has_templates {
            let known = self.context().store.template_keys(view.account.number).await;
            gone = known.map_err(|error| AccountError::from_store(&error, "templates not read"))?;
            gone.retain(|key| !listed.contains(key));
        }
        if gone.is_empty() && trail.is_none() {
            return Ok(());
        }
        loop {
            let rest = gone.split_off(gone.len().min(REMOVED_MAX));
            let command = AccountCommand::RemoveTemplates { keys: gone, listed_at };
            self.execute_template(entry, command, None, trail.take()).await?;
            if rest.is_empty() {
                return Ok(());
            }
            gone = rest;
        }
    }

    /// Submits a new template to WhatsApp, and records it once WhatsApp has taken it.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub async fn submit_template(
        &self,
        entry: &Arc<AccountEntry>,
        new: &NewTemplate,
        claim: Option<KeyClaim>,
        trail: AuditEntry,
    ) -> Result<CommandReply, TemplateError> {
        self.load_account(entry).await?;
        let account = entry.current_account();
        let _permit = self.permit_call(&account).await?;
        let waba_id = account.profile.waba_id.clone().ok_or(TemplateError::NoBusinessAccount)?;
        if self.knows_template(&account, &new.told.key).await? {
            return Err(TemplateCallError::AlreadyExists.into());
        }
        match self.0.graph_calls.client.submit_template(&account, &waba_id, new).await {
            Ok(told) => {
                let command = AccountCommand::AddTemplate(Box::new(told));
                let reply = self.execute_template(entry, command, claim, Some(trail)).await?;
                let others = self.0.directory.accounts_of_waba(&waba_id).into_iter();
                others
                    .filter(|other| other.current_account().number != account.number)
                    .for_each(|other| self.look_at_templates(&other));
                Ok(reply)
            }
            Err(error) => {
                if matches!(error, TemplateCallError::AlreadyExists | TemplateCallError::Unanswered(_)) {
                    // WhatsApp has it, or may have it.
                    self.look_at_templates(entry);
                }
                Err(error.into())
            }
        }
    }

    async fn knows_template(&self, account: &Account, key: &TemplateKey) -> Result<bool, AccountError> {
        let query = NamedTemplateQuery { name: key.name().clone(), language: Some(key.language().clone()) };
        let found = self.context().store.templates_of_name(account.number, &query).await;
        let found = found.map_err(|error| AccountError::from_store(&error, "template not read"))?;
        Ok(!found.is_empty())
    }

    async fn execute_template(
        &self,
        entry: &Arc<AccountEntry>,
        command: AccountCommand,
        claim: Option<KeyClaim>,
        trail: Option<AuditEntry>,
    ) -> Result<CommandReply, TemplateError> {
        let decided = self.execute_recorded(entry, command, claim, trail).await?;
        decided.map_err(|refusal| {
            // Nothing in such a command can be refused.
            tracing::error!(account = %entry.current_account().id, error = cause(&refusal), "templates refused");
            AccountError::Refused.into()
        })
    }
}
