//! Plugins of tenants and their changes.
//!
//! Invariants: a plugin begins with the events after its first activation. For a phone number that is added
//! later, it begins with the events after that change. Where another node has written a row meanwhile, it is read
//! again and the change is decided anew, so neither change undoes the other.

use std::sync::Arc;

use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::event::EventTypes;
use kabar_core::domain::plugin::{
    Capabilities, ENTRIES_MAX, PLUGINS_MAX, Plugin, PluginEntries, PluginHealth,
};
use kabar_core::domain::principal::Principal;
use kabar_core::domain::row_version::RowVersion;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::ids::{IdSource as _, OrganisationId, PluginId};
use kabar_core::store::{DeliveryWork, Store, StoreError};

use super::directory::SubscriberDirectory;
use super::errors::PluginError;
use super::registry::plugin_of;
use crate::audit::AuditedChanges;
use crate::error::AccountError;
use crate::retry::DECISIONS_MAX;

/// A plugin to be created; everything is validated already.
#[derive(Debug, Clone)]
pub struct NewPlugin {
    /// Name for a person.
    pub name: Arc<str>,
    /// Description for a person.
    pub description: Option<Arc<str>>,
    /// At least one type.
    pub events: EventTypes,
    /// Phone numbers that it receives events of; `None`: all.
    pub accounts: Option<Arc<[PhoneNumberId]>>,
    /// Configuration that its components may read.
    pub config: PluginEntries<Arc<str>>,
    /// Secrets that only its components may read.
    pub secrets: PluginEntries<Secret>,
    /// Hosts that its components may call.
    pub allowed_hosts: AllowedHosts,
    /// Capabilities that its components may import; `None`: all.
    pub capabilities: Option<Capabilities>,
    /// Set when it is to run.
    pub enabled: bool,
    /// Its creator.
    pub created_by: Principal,
}

/// Changes of a plugin; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct PluginPatch {
    /// New name.
    pub name: Option<Arc<str>>,
    /// New description, or none.
    pub description: Option<Option<Arc<str>>>,
    /// New types; they also hold for committed events that are not deliveries yet.
    pub events: Option<EventTypes>,
    /// New numbers, or all.
    pub accounts: Option<Option<Arc<[PhoneNumberId]>>>,
    /// Replaces all entries.
    pub config: Option<PluginEntries<Arc<str>>>,
    /// Sets or removes each entry.
    pub secrets: PluginEntries<Option<Secret>>,
    /// Replaces all hosts.
    pub allowed_hosts: Option<AllowedHosts>,
    /// New capabilities, or all.
    pub capabilities: Option<Option<Capabilities>>,
    /// Run, or stop. `true` also resumes a plugin that was paused or disabled for its failures.
    pub enabled: Option<bool>,
}

pub(super) fn unwritten(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "plugin not written")
}

impl PluginPatch {
    fn apply_patch(self, row: &mut Plugin) {
        row.name = self.name.unwrap_or_else(|| row.name.clone());
        row.description = self.description.unwrap_or_else(|| row.description.clone());
        row.events = self.events.unwrap_or(row.events);
        row.accounts = self.accounts.unwrap_or_else(|| row.accounts.clone());
        row.config = self.config.map_or_else(|| row.config.clone(), Arc::new);
        row.allowed_hosts = self.allowed_hosts.unwrap_or_else(|| row.allowed_hosts.clone());
        row.capabilities = self.capabilities.unwrap_or(row.capabilities);
        row.enabled = self.enabled.unwrap_or(row.enabled);
        let mut secrets = PluginEntries::clone(&row.secrets);
        for (key, value) in self.secrets {
            match value {
                Some(value) => secrets.insert(key, value),
                None => secrets.remove(&key),
            };
        }
        row.secrets = Arc::new(secrets);
    }
}

impl SubscriberDirectory {
    /// Lists a tenant's plugins, newest first.
    #[must_use]
    pub fn plugins_of(&self, organisation: OrganisationId) -> Vec<Arc<Plugin>> {
        let snapshot = self.registry.current_snapshot();
        let rows = snapshot.of_organisation(organisation).filter_map(|one| plugin_of(&one.get()));
        let mut rows: Vec<_> = rows.collect();
        rows.reverse();
        rows
    }

    /// Lists the plugins of all tenants, newest first.
    #[must_use]
    pub fn all_plugins(&self) -> Vec<Arc<Plugin>> {
        let snapshot = self.registry.current_snapshot();
        let mut rows: Vec<_> = snapshot.all_subscribers().filter_map(|one| plugin_of(&one.get())).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        rows
    }

    /// Finds a tenant's plugin.
    #[must_use]
    pub fn find_plugin(&self, organisation: OrganisationId, id: PluginId) -> Option<Arc<Plugin>> {
        self.registry.find_any_plugin(id).filter(|found| found.organisation_id == organisation)
    }

    /// Creates a plugin, which does not run before a version is activated.
    ///
    /// # Errors
    /// [`PluginError::TooMany`], and [`AccountError::Storage`].
    pub async fn create_plugin(
        &self,
        organisation_id: OrganisationId,
        new: NewPlugin,
        origin: &AuditOrigin,
    ) -> Result<Arc<Plugin>, PluginError> {
        let mut ids = self.registry.lock_writing().await;
        if self.plugins_of(organisation_id).len() >= PLUGINS_MAX {
            return Err(PluginError::TooMany);
        }
        let now = self.registry.0.clock.read_now();
        let plugin = Arc::new(Plugin {
            id: PluginId::from_bits(ids.next_bits(now.millis())),
            organisation_id,
            name: new.name,
            description: new.description,
            events: new.events,
            accounts: new.accounts,
            config: Arc::new(new.config),
            secrets: Arc::new(new.secrets),
            allowed_hosts: new.allowed_hosts,
            capabilities: new.capabilities,
            enabled: new.enabled,
            standing: PluginHealth::active_since(now),
            active_version: None,
            previous_version: None,
            created_at: now,
            created_by: new.created_by,
            updated_at: now,
            row_version: RowVersion::FIRST,
        });
        let target = AuditTarget::one(AuditTargetKind::Plugin, &plugin.id);
        let store = self.registry.audited(origin, Some(organisation_id), AuditAction::PluginCreated, target);
        store.insert_plugin(&plugin).await.map_err(|error| unwritten(&error))?;
        self.registry.publish_plugin(&plugin);
        Ok(plugin)
    }

    /// Changes a plugin.
    ///
    /// # Errors
    /// [`PluginError::NotFound`]; [`PluginError::TooManySecrets`]; [`AccountError::Storage`];
    /// [`AccountError::Overloaded`] when other nodes change it all the time.
    pub async fn patch_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
        patch: PluginPatch,
        origin: &AuditOrigin,
    ) -> Result<Arc<Plugin>, PluginError> {
        let decide = |row: &mut Plugin| {
            if patch.enabled == Some(true) {
                row.recover_health(self.registry.0.clock.read_now());
            }
            patch.clone().apply_patch(row);
            if row.secrets.len() > ENTRIES_MAX { Err(PluginError::TooManySecrets) } else { Ok(()) }
        };
        let _turn = self.registry.lock_writing().await;
        let target = AuditTarget::one(AuditTargetKind::Plugin, &id);
        let store = self.registry.audited(origin, Some(organisation), AuditAction::PluginUpdated, target);
        self.change_plugin(organisation, id, &store, decide).await
    }

    /// Changes a plugin's row with `decide`, and writes it with `store`. Where another node has written the row meanwhile, it is read again
    /// and decided anew. The caller holds the writers' lock.
    pub(super) async fn change_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
        store: &Store,
        decide: impl Fn(&mut Plugin) -> Result<(), PluginError>,
    ) -> Result<Arc<Plugin>, PluginError> {
        let mut found = self.find_plugin(organisation, id).ok_or(PluginError::NotFound)?;
        for _ in 0..DECISIONS_MAX {
            let mut row = Plugin::clone(&found);
            decide(&mut row)?;
            if let Some(row) = self.write_plugin(store, &found, row).await? {
                return Ok(row);
            }
            found = self.registry.read_plugin(id).await?.ok_or(PluginError::NotFound)?;
        }
        Err(AccountError::Overloaded.into())
    }

    /// Writes a changed row; `None` when another node has written it since it was read.
    async fn write_plugin(
        &self,
        store: &Store,
        before: &Plugin,
        mut row: Plugin,
    ) -> Result<Option<Arc<Plugin>>, AccountError> {
        row.updated_at = self.registry.0.clock.read_now().max(row.updated_at);
        let written = store.update_plugin(before, row).await;
        let written = written.map_err(|error| unwritten(&error))?;
        let Some(row) = written.map(Arc::new) else { return Ok(None) };
        self.registry.publish_plugin(&row);
        let id = SubscriberId::Hook(row.id);
        self.registry.tell_change(id);
        if row.is_running() {
            self.starter.start_work(DeliveryWork::Of(id)).await;
        }
        Ok(Some(row))
    }

    /// Deletes a plugin.
    ///
    /// # Errors
    /// [`PluginError::NotFound`], and [`AccountError::Storage`].
    pub async fn delete_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
        origin: &AuditOrigin,
    ) -> Result<(), PluginError> {
        let _turn = self.registry.lock_writing().await;
        self.find_plugin(organisation, id).ok_or(PluginError::NotFound)?;
        let target = AuditTarget::one(AuditTargetKind::Plugin, &id);
        let store = self.registry.audited(origin, Some(organisation), AuditAction::PluginDeleted, target);
        let deleted = store.delete_plugin(id, self.registry.0.clock.read_now()).await;
        deleted.map_err(|error| unwritten(&error))?;
        self.registry.retire_subscriber(SubscriberId::Hook(id));
        Ok(())
    }

    /// Disables a plugin of any tenant for the operator.
    ///
    /// # Errors
    /// [`PluginError::NotFound`], and [`AccountError::Storage`].
    pub async fn disable_plugin(
        &self,
        id: PluginId,
        reason: Option<Arc<str>>,
        origin: &AuditOrigin,
    ) -> Result<Arc<Plugin>, PluginError> {
        let health = PluginHealth::forbidden_since(self.registry.0.clock.read_now(), reason);
        let found = self.registry.find_any_plugin(id).ok_or(PluginError::NotFound)?;
        let target = AuditTarget::one(AuditTargetKind::Plugin, &id);
        let store =
            self.registry.audited(origin, Some(found.organisation_id), AuditAction::PluginDisabled, target);
        self.registry.set_plugin_health(id, health, &store).await?.ok_or(PluginError::NotFound)
    }
}
