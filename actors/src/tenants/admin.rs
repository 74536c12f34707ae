//! The operator's changes of the directory: durable first, then visible.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kabar_core::clock::Clock;
use kabar_core::domain::account::{Account, AccountProfile, AccountStatus, PhoneNumberId, Secret};
use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::organisation::{ApiKey, Organisation, PriceTier, RateLimits, User};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::row_version::RowVersion;
use kabar_core::domain::scopes::KeyScopes;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{AccountId, ApiKeyId, IdSource as _, OrganisationId, UserId};
use kabar_core::store::{InsertedAccount, Store, StoreError};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use super::{DirectorySnapshot, OrganisationEntry, TenantDirectory};
use crate::account::AccountEntry;
use crate::audit::AuditedChanges;
use crate::error::AccountError;
use crate::retry::DECISIONS_MAX;

/// Random bytes of an API key (contract, section 3); 24 characters of base64url.
const KEY_BYTES: usize = 18;
/// An account's send rate until the operator sets another (Meta's default throughput per number).
const MESSAGES_PER_SECOND: u32 = 80;

/// A tenant to be created.
#[derive(Debug, Clone)]
pub struct NewOrganisation {
    /// 1 to 200 characters.
    pub name: Arc<str>,
    /// Price tier.
    pub tier: PriceTier,
    /// Budgets.
    pub limits: RateLimits,
    /// Set when its keys are test keys.
    pub sandbox: bool,
}

/// Changes of a tenant; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct OrganisationPatch {
    /// New name.
    pub name: Option<Arc<str>>,
    /// New tier.
    pub tier: Option<PriceTier>,
    /// New budgets.
    pub limits: Option<RateLimits>,
    /// Suspend, or resume.
    pub suspended: Option<bool>,
}

/// A key to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// 1 to 200 characters.
    pub label: Arc<str>,
    /// Operations that it shall admit to.
    pub scopes: KeyScopes,
    /// Instant from which it is refused.
    pub expires_at: Option<Timestamp>,
}

/// A phone number to be connected.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Meta's id.
    pub phone_number_id: PhoneNumberId,
    /// The WhatsApp number.
    pub phone: Phone,
    /// Name that the operator gives it.
    pub name: Option<Arc<str>>,
    /// WhatsApp Business Account of the number, where the operator knows it.
    pub waba_id: Option<Arc<str>>,
    /// Bearer token for Meta's API.
    pub access_token: Secret,
    /// Key of its webhooks' signatures, if it differs from the server's.
    pub app_secret: Option<Secret>,
}

/// Outcome of connecting a phone number.
#[derive(Debug)]
pub enum AccountConnection {
    /// It is connected now.
    Connected(Arc<AccountEntry>),
    /// A tenant has it already.
    AlreadyConnected,
    /// There is no such tenant.
    NoOrganisation,
}

impl OrganisationPatch {
    /// Returns the changed tenant.
    fn apply(self, found: &Organisation) -> Organisation {
        let mut row = found.clone();
        row.name = self.name.unwrap_or(row.name);
        row.tier = self.tier.unwrap_or(row.tier);
        row.limits = self.limits.unwrap_or(row.limits);
        row.suspended = self.suspended.unwrap_or(row.suspended);
        row
    }
}

pub(super) fn unwritten(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "directory not written")
}

impl AuditedChanges for TenantDirectory {
    fn clock_and_store(&self) -> (&Clock, &Store) {
        (&self.0.clock, &self.0.store)
    }
}

impl TenantDirectory {
    /// Puts a tenant's changed row in force. The work of one that goes on after it was suspended is taken up.
    pub(super) fn put_organisation(&self, entry: &OrganisationEntry, row: Arc<Organisation>) {
        let id = row.id;
        if entry.set_organisation(row) {
            self.0.resumed.note_tenant(id);
        }
    }

    /// Waits for tenants that go on after they were suspended.
    pub(crate) async fn take_resumed(&self) -> BTreeSet<OrganisationId> {
        self.0.resumed.take_noted().await
    }

    /// Notes that the work of a tenant is still to be taken up.
    pub(crate) fn note_resumed(&self, id: OrganisationId) {
        self.0.resumed.note_tenant(id);
    }

    /// Publishes a changed snapshot. The caller holds the writers' lock.
    pub(super) fn publish_snapshot<T>(&self, change: impl FnOnce(&mut DirectorySnapshot) -> T) -> T {
        let mut next = (**self.0.snapshot.load()).clone();
        let changed = change(&mut next);
        let touched = std::mem::take(&mut next.touched);
        self.0.snapshot.store(Arc::new(next));
        for standing in touched {
            standing.note_change();
        }
        changed
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn create_organisation(
        &self,
        new: NewOrganisation,
        origin: &AuditOrigin,
    ) -> Result<Arc<Organisation>, AccountError> {
        let mut ids = self.0.writing.lock().await;
        let now = self.0.clock.read_now();
        let organisation = Organisation {
            id: OrganisationId::from_bits(ids.next_bits(now.millis())),
            name: new.name,
            tier: new.tier,
            limits: new.limits,
            sandbox: new.sandbox,
            suspended: false,
            created_at: now,
            row_version: RowVersion::FIRST,
        };
        let target = AuditTarget::one(AuditTargetKind::Organization, &organisation.id);
        let action = AuditAction::OrganizationCreated;
        let store = self.audited(origin, Some(organisation.id), action, target);
        store.insert_organisation(&organisation).await.map_err(|error| unwritten(&error))?;
        self.publish_snapshot(|next| next.put_organisation(organisation.clone(), &self.0.memory));
        Ok(Arc::new(organisation))
    }

    /// Changes a tenant with `decide`, which receives the current row. Returns `None` when there is no such
    /// tenant, or the error of `decide`. Where another node has written the row meanwhile, it is read again and
    /// decided anew.
    ///
    /// # Errors
    /// [`AccountError::Storage`]; [`AccountError::Overloaded`] when other nodes change it all the time.
    pub async fn patch_organisation<E>(
        &self,
        id: OrganisationId,
        decide: impl Fn(&Organisation) -> Result<OrganisationPatch, E>,
        origin: &AuditOrigin,
    ) -> Result<Option<Result<Arc<Organisation>, E>>, AccountError> {
        let _turn = self.0.writing.lock().await;
        let Some(entry) = self.current_snapshot().organisations.get(&id).cloned() else { return Ok(None) };
        for _ in 0..DECISIONS_MAX {
            let found = entry.get();
            let patch = match decide(&found) {
                Ok(patch) => patch,
                Err(refused) => return Ok(Some(Err(refused))),
            };
            let row = patch.apply(&found);
            let action = match (found.suspended, row.suspended) {
                (false, true) => AuditAction::OrganizationSuspended,
                (true, false) => AuditAction::OrganizationResumed,
                (true, true) | (false, false) => AuditAction::OrganizationUpdated,
            };
            let target = AuditTarget::one(AuditTargetKind::Organization, &id);
            let written = self.audited(origin, Some(id), action, target).update_organisation(row).await;
            if let Some(row) = written.map_err(|error| unwritten(&error))? {
                let row = Arc::new(row);
                self.put_organisation(&entry, row.clone());
                return Ok(Some(Ok(row)));
            }
            let again = self.0.store.find_organisation(id).await;
            let again = again.map_err(|error| AccountError::from_store(&error, "organisation not read"))?;
            let Some(again) = again else { return Ok(None) };
            self.put_organisation(&entry, Arc::new(again));
        }
        Err(AccountError::Overloaded)
    }

    /// Deletes a tenant with its keys, users and accounts: they are gone from memory when this returns, and their rows
    /// are taken out of sight. `false` when there is no such tenant.
    pub(crate) async fn delete_organisation(
        &self,
        id: OrganisationId,
        origin: &AuditOrigin,
    ) -> Result<bool, AccountError> {
        let _turn = self.0.writing.lock().await;
        let now = self.0.clock.read_now();
        let target = AuditTarget::one(AuditTargetKind::Organization, &id);
        let store = self.audited(origin, Some(id), AuditAction::OrganizationDeleted, target);
        let deleted = store.delete_organisation(id, now).await.map_err(|error| unwritten(&error))?;
        self.publish_snapshot(|next| next.drop_organisation(id));
        Ok(deleted)
    }

    /// Creates a key and returns it with its secret, which cannot be read again; `None` when there is no such
    /// tenant.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn create_api_key(
        &self,
        organisation_id: OrganisationId,
        new: NewApiKey,
        origin: &AuditOrigin,
    ) -> Result<Option<(ApiKey, String)>, AccountError> {
        let mut ids = self.0.writing.lock().await;
        let Some(organisation) = self.find_organisation(organisation_id) else { return Ok(None) };
        let now = self.0.clock.read_now();
        let entropy: [u8; KEY_BYTES] = rand::rng().random();
        let prefix = if organisation.sandbox { "kdv_test_" } else { "kdv_live_" };
        let secret = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(entropy));
        let key = ApiKey {
            id: ApiKeyId::from_bits(ids.next_bits(now.millis())),
            organisation_id,
            label: new.label,
            last4: secret.get(secret.len().saturating_sub(4)..).unwrap_or_default().into(),
            digest: Sha256::digest(secret.as_bytes()).into(),
            scopes: new.scopes,
            expires_at: new.expires_at,
            created_at: now,
            created_by: origin.actor.clone(),
        };
        let target = AuditTarget::one(AuditTargetKind::ApiKey, &key.id);
        let store = self.audited(origin, Some(organisation_id), AuditAction::ApiKeyCreated, target);
        store.insert_api_key(&key).await.map_err(|error| unwritten(&error))?;
        self.publish_snapshot(|next| next.put_key(key.clone()));
        Ok(Some((key, secret)))
    }

    /// Revokes a key with effect on the next request; `false` when there is no such key.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn revoke_api_key(&self, id: ApiKeyId, origin: &AuditOrigin) -> Result<bool, AccountError> {
        let _turn = self.0.writing.lock().await;
        let now = self.0.clock.read_now();
        let organisation = self.organisation_of_key(id);
        let target = AuditTarget::one(AuditTargetKind::ApiKey, &id);
        let store = self.audited(origin, organisation, AuditAction::ApiKeyRevoked, target);
        let revoked = store.revoke_api_key(id, now).await.map_err(|error| unwritten(&error))?;
        self.publish_snapshot(|next| next.drop_key(id));
        Ok(revoked)
    }

    /// Creates a user; `None` when there is no such tenant.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn create_user(
        &self,
        organisation_id: OrganisationId,
        name: Arc<str>,
        email: Option<Arc<str>>,
        origin: &AuditOrigin,
    ) -> Result<Option<Arc<User>>, AccountError> {
        let mut ids = self.0.writing.lock().await;
        if self.find_organisation(organisation_id).is_none() {
            return Ok(None);
        }
        let now = self.0.clock.read_now();
        let id = UserId::from_bits(ids.next_bits(now.millis()));
        let user = User { id, organisation_id, name, email, created_at: now };
        let target = AuditTarget::one(AuditTargetKind::User, &id);
        let store = self.audited(origin, Some(organisation_id), AuditAction::UserCreated, target);
        store.insert_user(&user).await.map_err(|error| unwritten(&error))?;
        let user = Arc::new(user);
        self.publish_snapshot(|next| {
            next.users.insert((organisation_id, id), user.clone());
        });
        Ok(Some(user))
    }

    /// Connects a phone number.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn connect_account(
        &self,
        organisation_id: OrganisationId,
        new: NewAccount,
        origin: &AuditOrigin,
    ) -> Result<AccountConnection, AccountError> {
        let mut ids = self.0.writing.lock().await;
        let Some(organisation) = self.find_organisation(organisation_id) else {
            return Ok(AccountConnection::NoOrganisation);
        };
        let now = self.0.clock.read_now();
        let account = Account {
            id: AccountId::from_bits(ids.next_bits(now.millis())),
            number: 0,
            organisation_id,
            phone_number_id: new.phone_number_id,
            phone: new.phone,
            name: new.name,
            status: AccountStatus::Connected,
            status_reason: None,
            recovery: None,
            profile: AccountProfile { waba_id: new.waba_id, ..AccountProfile::default() },
            access_token: new.access_token,
            app_secret: new.app_secret,
            messages_per_second: MESSAGES_PER_SECOND,
            sandbox: organisation.sandbox,
            created_at: now,
        };
        let target = AuditTarget::one(AuditTargetKind::Account, &account.id);
        let store = self.audited(origin, Some(organisation_id), AuditAction::AccountConnected, target);
        let inserted = store.insert_account(account).await.map_err(|error| unwritten(&error))?;
        Ok(match inserted {
            InsertedAccount::AlreadyConnected => AccountConnection::AlreadyConnected,
            InsertedAccount::Inserted(account) => {
                AccountConnection::Connected(self.publish_snapshot(|next| next.put_account(account)))
            }
        })
    }
}
