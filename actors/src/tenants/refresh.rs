//! Changes that other nodes make to the directory.
//!
//! Invariant: the row that a loaded account's actor has published stays. The row of an account that is not
//! loaded here is the one of the database.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kabar_core::domain::account::Account;
use kabar_core::ids::OrganisationId;
use kabar_core::store::StoreError;

use super::{DirectorySnapshot, TenantDirectory};

impl DirectorySnapshot {
    fn apply_changes(&mut self, account: Account) {
        match self.accounts.get(&account.phone_number_id) {
            Some(slot) if slot.loaded_account().is_none() => slot.set_account(Arc::new(account)),
            Some(_) => {}
            None => drop(self.put_account(account)),
        }
    }
}

impl TenantDirectory {
    /// Revision of the directory up to which other nodes' changes are known.
    pub(crate) fn known_revision(&self) -> i64 {
        self.0.known.load(Ordering::Relaxed)
    }

    /// Reads the changes that other nodes have made since the last call. Returns the tenants that were deleted.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing was changed then.
    pub(crate) async fn refresh_directory(&self) -> Result<Vec<OrganisationId>, StoreError> {
        let known = self.known_revision();
        if self.0.store.directory_revision().await? == known {
            return Ok(Vec::new());
        }
        // Before the rows are read, so that nothing older comes after a change that was made here.
        let _turn = self.0.writing.lock().await;
        let changes = self.0.store.directory_changes(known).await?;
        self.publish_snapshot(|next| {
            for organisation in changes.rows.organisations {
                match next.organisations.get(&organisation.id) {
                    Some(entry) => self.put_organisation(entry, Arc::new(organisation)),
                    None => drop(next.put_organisation(organisation, &self.0.memory)),
                }
            }
            changes.rows.api_keys.into_iter().for_each(|key| next.put_key(key));
            changes.revoked.iter().for_each(|id| next.drop_key(*id));
            changes.rows.operator_tokens.into_iter().for_each(|token| next.put_operator(token));
            changes.revoked_tokens.iter().for_each(|id| next.drop_operator(*id));
            for user in changes.rows.users {
                next.users.insert((user.organisation_id, user.id), Arc::new(user));
            }
            changes.rows.accounts.into_iter().for_each(|account| next.apply_changes(account));
            changes.deleted.iter().for_each(|id| next.drop_organisation(*id));
        });
        self.0.known.store(changes.revision, Ordering::Relaxed);
        Ok(changes.deleted)
    }
}
