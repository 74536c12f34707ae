//! Tenants, keys, users and accounts, wholly in memory: authenticating and routing a request costs
//! no SQL.
//!
//! Invariants: readers see one consistent snapshot; a change is durable before it is visible, and
//! visible before it is acknowledged; writers take turns.

mod access;
mod admin;
mod entry;
mod last_use;
mod operators;
mod refresh;
mod resumed;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use imbl::{HashMap, OrdMap};
use kabar_core::clock::Clock;
use kabar_core::domain::account::{Account, AccountStatus, PhoneNumberId};
use kabar_core::domain::organisation::{ApiKey, Organisation, User};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{AccountId, ApiKeyId, MonotonicIds, OrganisationId, UserId};
use kabar_core::redis::RedisCache;
use kabar_core::store::{DirectoryRows, Store};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::account::AccountEntry;
use crate::error::AccountError;
use crate::standing::TenantStanding;
pub use admin::{AccountConnection, NewAccount, NewApiKey, NewOrganisation, OrganisationPatch};
pub use entry::{BudgetClass, OrganisationEntry};
use last_use::LastUse;
pub use operators::{NamedOperator, NewOperatorToken};
use resumed::ResumedTenants;

/// Holder of a valid key.
#[derive(Debug)]
pub struct Caller {
    /// The key.
    pub key: ApiKey,
    /// Its tenant.
    pub organisation: Arc<OrganisationEntry>,
    last_use: Arc<LastUse>,
}

impl Caller {
    /// Notes that the key was used.
    pub fn note_use(&self, now: Timestamp) {
        self.last_use.note_use(now);
    }
}

/// Reason that a secret is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// No key has this secret, or the key was revoked.
    #[error("unknown API key")]
    Unknown,
    /// The key has expired.
    #[error("expired API key")]
    Expired,
    /// The key's tenant is suspended.
    #[error("suspended organisation")]
    Suspended,
}

/// One version of the directory. Cheap to clone: maps are persistent.
#[derive(Debug, Clone, Default)]
struct DirectorySnapshot {
    organisations: OrdMap<OrganisationId, Arc<OrganisationEntry>>,
    callers: HashMap<[u8; 32], Arc<Caller>>,
    digests: HashMap<ApiKeyId, [u8; 32]>,
    operators: HashMap<[u8; 32], Arc<NamedOperator>>,
    users: OrdMap<(OrganisationId, UserId), Arc<User>>,
    accounts: HashMap<PhoneNumberId, Arc<AccountEntry>>,
    accounts_by_row: HashMap<i64, Arc<AccountEntry>>,
    accounts_of: OrdMap<(OrganisationId, AccountId), Arc<AccountEntry>>,
    standings: HashMap<OrganisationId, Arc<TenantStanding>>,
    /// Standings of tenants with a revoked key, to be told once this version is visible.
    touched: Vec<Arc<TenantStanding>>,
}

impl DirectorySnapshot {
    fn put_organisation(
        &mut self,
        organisation: Organisation,
        memory: &RedisCache,
    ) -> Arc<OrganisationEntry> {
        let id = organisation.id;
        let standing = self.standing_of(id);
        let entry = Arc::new(OrganisationEntry::new(organisation, standing, memory));
        self.organisations.insert(id, entry.clone());
        entry
    }

    /// Returns the standing of a tenant, which may be known by an account only so far.
    fn standing_of(&mut self, id: OrganisationId) -> Arc<TenantStanding> {
        self.standings.entry(id).or_default().clone()
    }

    /// Adds a key. One of a tenant that is not here is ignored, and so not accepted.
    fn put_key(&mut self, key: ApiKey) {
        if let Some(organisation) = self.organisations.get(&key.organisation_id).cloned() {
            self.digests.insert(key.id, key.digest);
            let last_use = self.callers.get(&key.digest).map(|known| known.last_use.clone());
            let caller = Caller { key, organisation, last_use: last_use.unwrap_or_default() };
            self.callers.insert(caller.key.digest, Arc::new(caller));
        }
    }

    fn drop_key(&mut self, id: ApiKeyId) {
        if let Some(digest) = self.digests.remove(&id)
            && let Some(caller) = self.callers.remove(&digest)
        {
            self.touched.push(caller.organisation.standing().clone());
        }
    }

    /// Removes a tenant with its keys, users and accounts, and takes the accounts out of memory.
    fn drop_organisation(&mut self, id: OrganisationId) {
        self.organisations.remove(&id);
        let keys: Vec<ApiKeyId> = self
            .callers
            .values()
            .map(|caller| &caller.key)
            .filter(|key| key.organisation_id == id)
            .map(|key| key.id)
            .collect();
        for key in keys {
            self.drop_key(key);
        }
        self.users = self
            .users
            .iter()
            .filter(|((of, _), _)| *of != id)
            .map(|(key, user)| (*key, user.clone()))
            .collect();
        let gone: Vec<_> = self
            .accounts
            .values()
            .filter(|entry| entry.current_account().organisation_id == id)
            .cloned()
            .collect();
        for entry in gone {
            let account = entry.current_account();
            self.accounts.remove(&account.phone_number_id);
            self.accounts_by_row.remove(&account.number);
            self.accounts_of.remove(&(id, account.id));
            if let Some(loaded) = entry.find_loaded() {
                entry.release_account(&loaded);
            }
        }
    }

    fn put_account(&mut self, account: Account) -> Arc<AccountEntry> {
        let (id, number, organisation) = (account.id, account.number, account.organisation_id);
        let phone_number_id = account.phone_number_id.clone();
        let slot = Arc::new(AccountEntry::new(Arc::new(account), self.standing_of(organisation)));
        self.accounts.insert(phone_number_id, slot.clone());
        self.accounts_by_row.insert(number, slot.clone());
        self.accounts_of.insert((organisation, id), slot.clone());
        slot
    }

    fn from_rows(rows: DirectoryRows, memory: &RedisCache) -> Self {
        let mut snapshot = Self::default();
        for organisation in rows.organisations {
            snapshot.put_organisation(organisation, memory);
        }
        rows.api_keys.into_iter().for_each(|key| snapshot.put_key(key));
        rows.operator_tokens.into_iter().for_each(|token| snapshot.put_operator(token));
        for user in rows.users {
            snapshot.users.insert((user.organisation_id, user.id), Arc::new(user));
        }
        for account in rows.accounts {
            snapshot.put_account(account);
        }
        snapshot
    }
}

struct DirectoryState {
    snapshot: ArcSwap<DirectorySnapshot>,
    store: Store,
    memory: RedisCache,
    clock: Arc<Clock>,
    /// Held by the writer, which takes new ids from it: a later id is a greater one.
    writing: Mutex<MonotonicIds<StdRng>>,
    /// See [`TenantDirectory::known_revision`].
    known: AtomicI64,
    resumed: ResumedTenants,
}

/// Handle to the directory of tenants. Cheap to clone.
#[derive(Clone)]
pub struct TenantDirectory(Arc<DirectoryState>);

impl TenantDirectory {
    /// Loads the directory from the store.
    ///
    /// # Errors
    /// [`AccountError::Storage`] when the store cannot be read.
    pub async fn load_directory(
        store: Store,
        memory: RedisCache,
        clock: Arc<Clock>,
    ) -> Result<Self, AccountError> {
        // Read first: changes that are made meanwhile are read again.
        let known = store.directory_revision().await;
        let known =
            AtomicI64::new(known.map_err(|error| AccountError::from_store(&error, "directory not read"))?);
        let rows = store
            .directory()
            .await
            .map_err(|error| AccountError::from_store(&error, "directory not read"))?;
        let snapshot = ArcSwap::from_pointee(DirectorySnapshot::from_rows(rows, &memory));
        let writing = Mutex::new(MonotonicIds::new(StdRng::from_rng(&mut rand::rng())));
        Ok(Self(Arc::new(DirectoryState {
            snapshot,
            store,
            memory,
            clock,
            writing,
            known,
            resumed: ResumedTenants::default(),
        })))
    }

    fn current_snapshot(&self) -> arc_swap::Guard<Arc<DirectorySnapshot>> {
        self.0.snapshot.load()
    }

    /// Finds the caller with this secret. The secret itself is never compared, only its SHA-256 is looked up.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn find_caller(&self, secret: &str) -> Result<Arc<Caller>, AuthFailure> {
        let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let caller = self.current_snapshot().callers.get(&digest).cloned().ok_or(AuthFailure::Unknown)?;
        match caller.key.expires_at {
            Some(at) if at <= self.0.clock.read_now() => Err(AuthFailure::Expired),
            Some(_) | None => Ok(caller),
        }
    }

    /// Finds a tenant's account by Meta's id; `None` for another tenant's.
    #[must_use]
    pub fn find_account(
        &self,
        organisation: OrganisationId,
        phone_number_id: &str,
    ) -> Option<Arc<AccountEntry>> {
        let slot = self.account_of_number(phone_number_id)?;
        (slot.current_account().organisation_id == organisation).then_some(slot)
    }

    /// Finds an account of any tenant by Meta's id.
    #[must_use]
    pub fn account_of_number(&self, phone_number_id: &str) -> Option<Arc<AccountEntry>> {
        self.current_snapshot().accounts.get(phone_number_id).cloned()
    }

    /// Lists the accounts of a WhatsApp Business Account. A look at every account: such webhooks are rare.
    #[must_use]
    pub fn accounts_of_waba(&self, waba_id: &str) -> Vec<Arc<AccountEntry>> {
        self.accounts_that(|account| account.profile.waba_id.as_deref() == Some(waba_id))
    }

    /// Lists the accounts of a number. A look at every account: webhooks that name no id of Meta's are rare.
    #[must_use]
    pub fn accounts_of_phone(&self, phone: &Phone) -> Vec<Arc<AccountEntry>> {
        self.accounts_that(|account| account.phone == *phone)
    }

    /// Lists the accounts for which this holds. One look at every account.
    #[must_use]
    pub fn accounts_that(&self, holds: impl Fn(&Account) -> bool) -> Vec<Arc<AccountEntry>> {
        let snapshot = self.0.snapshot.load_full();
        snapshot.accounts.values().filter(|entry| holds(&entry.current_account())).cloned().collect()
    }

    /// Finds an account by the number of its row.
    #[must_use]
    pub fn account_of_row(&self, number: i64) -> Option<Arc<AccountEntry>> {
        self.current_snapshot().accounts_by_row.get(&number).cloned()
    }

    /// Lists all accounts.
    pub(crate) fn all_accounts(&self) -> Vec<Arc<AccountEntry>> {
        self.current_snapshot().accounts.values().cloned().collect()
    }

    /// Counts the accounts of each status. Reads each account.
    #[must_use]
    pub fn accounts_by_status(&self) -> [(AccountStatus, i64); AccountStatus::ALL.len()] {
        let mut counts = AccountStatus::ALL.map(|status| (status, 0));
        for slot in self.current_snapshot().accounts.values() {
            let status = slot.current_account().status;
            if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == status) {
                *count += 1;
            }
        }
        counts
    }

    /// Lists a tenant's accounts, newest first.
    #[must_use]
    pub fn accounts_of(&self, organisation: OrganisationId) -> Vec<Arc<Account>> {
        let range = (organisation, AccountId::from_bits(0))..=(organisation, AccountId::from_bits(u128::MAX));
        self.current_snapshot()
            .accounts_of
            .range(range)
            .rev()
            .map(|(_, slot)| slot.current_account())
            .collect()
    }

    /// Lists a tenant's users, newest first.
    #[must_use]
    pub fn users_of(&self, organisation: OrganisationId) -> Vec<Arc<User>> {
        let range = (organisation, UserId::from_bits(0))..=(organisation, UserId::from_bits(u128::MAX));
        self.current_snapshot().users.range(range).rev().map(|(_, user)| user.clone()).collect()
    }

    /// Finds a tenant's user.
    #[must_use]
    pub fn find_user(&self, organisation: OrganisationId, id: UserId) -> Option<Arc<User>> {
        self.current_snapshot().users.get(&(organisation, id)).cloned()
    }

    /// Lists all tenants, newest first.
    #[must_use]
    pub fn list_organisations(&self) -> Vec<Arc<Organisation>> {
        self.current_snapshot().organisations.values().rev().map(|entry| entry.get()).collect()
    }

    /// Finds a tenant.
    #[must_use]
    pub fn find_organisation(&self, id: OrganisationId) -> Option<Arc<Organisation>> {
        self.current_snapshot().organisations.get(&id).map(|entry| entry.get())
    }

    /// Finds a tenant, with its budgets.
    pub(crate) fn find_entry(&self, id: OrganisationId) -> Option<Arc<OrganisationEntry>> {
        self.current_snapshot().organisations.get(&id).cloned()
    }

    /// Finds the tenant of a key that was not revoked.
    fn organisation_of_key(&self, id: ApiKeyId) -> Option<OrganisationId> {
        let snapshot = self.current_snapshot();
        snapshot.callers.get(snapshot.digests.get(&id)?).map(|caller| caller.key.organisation_id)
    }

    /// Lists a tenant's keys that were not revoked, newest first.
    #[must_use]
    pub fn api_keys_of(&self, organisation: OrganisationId) -> Vec<ApiKey> {
        let snapshot = self.current_snapshot();
        let of_it = snapshot.callers.values().filter(|caller| caller.key.organisation_id == organisation);
        let mut keys: Vec<_> = of_it.map(|caller| caller.key.clone()).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.id));
        keys
    }
}
