//! Plugins of tenants and their changes.
//!
//! Invariants: a change is durable before it is visible, and visible before it is acknowledged. Writers take
//! turns. A plugin begins with the events after its first activation. For a phone number that is added later,
//! it begins with the events after that change.

mod plugin_health;
mod runs;

use std::sync::Arc;

use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventTypes;
use kabar_core::domain::plugin::{
    Capabilities, ENTRIES_MAX, PLUGINS_MAX, Plugin, PluginEntries, PluginHealth, PluginVersion,
};
use kabar_core::domain::row_version::RowVersion;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::ids::{IdSource as _, OrganisationId, PluginId, PluginVersionId};
use kabar_core::store::{DeliveryWork, StoreError};

use super::DeliveryDispatcher;
use crate::accounts::AccountError;
use crate::tenants::DECISIONS_MAX;

pub use runs::{ReplayFrom, ReplayedRuns};

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

/// Reason that a plugin was not created or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginRefusal {
    /// The tenant has the largest allowed number of plugins.
    TooMany,
    /// It would have more secrets than allowed.
    TooManySecrets,
    /// It has no such version.
    NoVersion,
}

fn unwritten(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "plugin not written")
}

fn unread(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "plugins not read")
}

fn plugin_of(subscriber: &Subscriber) -> Option<Arc<Plugin>> {
    match subscriber {
        Subscriber::Hook(plugin) => Some(plugin.clone()),
        Subscriber::Webhook(_) => None,
    }
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

impl DeliveryDispatcher {
    /// Lists a tenant's plugins, newest first.
    #[must_use]
    pub fn plugins_of(&self, organisation: OrganisationId) -> Vec<Arc<Plugin>> {
        let registry = self.0.registry.load();
        let mut rows: Vec<_> =
            registry.of_organisation(organisation).filter_map(|one| plugin_of(&one.get())).collect();
        rows.reverse();
        rows
    }

    /// Lists the plugins of all tenants, newest first.
    #[must_use]
    pub fn all_plugins(&self) -> Vec<Arc<Plugin>> {
        let mut rows: Vec<_> =
            self.0.registry.load().all_subscribers().filter_map(|one| plugin_of(&one.get())).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        rows
    }

    /// Finds a tenant's plugin.
    #[must_use]
    pub fn find_plugin(&self, organisation: OrganisationId, id: PluginId) -> Option<Arc<Plugin>> {
        self.find_any_plugin(id).filter(|found| found.organisation_id == organisation)
    }

    /// Finds a plugin of any tenant.
    #[must_use]
    pub fn find_any_plugin(&self, id: PluginId) -> Option<Arc<Plugin>> {
        self.0
            .registry
            .load()
            .find_subscriber(SubscriberId::Hook(id))
            .and_then(|found| plugin_of(&found.get()))
    }

    /// Creates a plugin, which does not run before a version is activated.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn create_plugin(
        &self,
        organisation_id: OrganisationId,
        new: NewPlugin,
    ) -> Result<Result<Arc<Plugin>, PluginRefusal>, AccountError> {
        let mut ids = self.0.writing.lock().await;
        if self.plugins_of(organisation_id).len() >= PLUGINS_MAX {
            return Ok(Err(PluginRefusal::TooMany));
        }
        let now = self.0.clock.read_now();
        let plugin = Plugin {
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
            updated_at: now,
            row_version: RowVersion::FIRST,
        };
        self.0.store.insert_plugin(&plugin).await.map_err(|error| unwritten(&error))?;
        let plugin = Arc::new(plugin);
        let reading = self.0.clock.take_reading();
        self.publish_registry(|next| next.put_subscriber(Subscriber::Hook(plugin.clone()), &reading));
        Ok(Ok(plugin))
    }

    /// Changes a plugin; `None` when the tenant has none of this id.
    ///
    /// # Errors
    /// [`AccountError::Storage`]; [`AccountError::Overloaded`] when other nodes change it all the time.
    pub async fn patch_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
        patch: PluginPatch,
    ) -> Result<Option<Result<Arc<Plugin>, PluginRefusal>>, AccountError> {
        let decide = |row: &mut Plugin| {
            if patch.enabled == Some(true) {
                row.recover_health(self.0.clock.read_now());
            }
            patch.clone().apply_patch(row);
            if row.secrets.len() > ENTRIES_MAX { Err(PluginRefusal::TooManySecrets) } else { Ok(()) }
        };
        let _turn = self.0.writing.lock().await;
        self.change_plugin(organisation, id, decide).await
    }

    /// Changes a plugin's row with `decide`. Where another node has written the row meanwhile, it is read again
    /// and decided anew, so neither change undoes the other. The caller holds the writers' lock.
    async fn change_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
        decide: impl Fn(&mut Plugin) -> Result<(), PluginRefusal>,
    ) -> Result<Option<Result<Arc<Plugin>, PluginRefusal>>, AccountError> {
        let Some(mut found) = self.find_plugin(organisation, id) else { return Ok(None) };
        for _ in 0..DECISIONS_MAX {
            let mut row = Plugin::clone(&found);
            if let Err(refused) = decide(&mut row) {
                return Ok(Some(Err(refused)));
            }
            if let Some(row) = self.rewrite_plugin(&found, row).await? {
                return Ok(Some(Ok(row)));
            }
            let Some(again) = self.read_plugin(id).await? else { return Ok(None) };
            found = again;
        }
        Err(AccountError::Overloaded)
    }

    /// Writes a changed row; `None` when another node has written it since it was read.
    async fn rewrite_plugin(
        &self,
        before: &Plugin,
        mut row: Plugin,
    ) -> Result<Option<Arc<Plugin>>, AccountError> {
        let now = self.0.clock.read_now();
        row.updated_at = now.max(row.updated_at);
        let written = self.0.store.update_plugin(before, row).await;
        let Some(row) = written.map_err(|error| unwritten(&error))? else { return Ok(None) };
        let row = Arc::new(row);
        let reading = self.0.clock.take_reading();
        self.publish_registry(|next| next.put_subscriber(Subscriber::Hook(row.clone()), &reading));
        let id = SubscriberId::Hook(row.id);
        self.look_all(id);
        if row.is_running() {
            self.take_up_all(DeliveryWork::Of(id)).await;
        }
        Ok(Some(row))
    }

    /// Reads a row again that another node has written, and publishes it; `None` when it was deleted. The
    /// caller holds the writers' lock.
    async fn read_plugin(&self, id: PluginId) -> Result<Option<Arc<Plugin>>, AccountError> {
        let found = self.0.store.find_plugin(id).await.map_err(|error| unread(&error))?.map(Arc::new);
        match &found {
            Some(row) => {
                let reading = self.0.clock.take_reading();
                self.publish_registry(|next| next.put_subscriber(Subscriber::Hook(row.clone()), &reading));
            }
            None => self.retire_subscriber(SubscriberId::Hook(id)),
        }
        Ok(found)
    }

    /// Deletes a plugin; `false` when the tenant has none of this id.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn delete_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
    ) -> Result<bool, AccountError> {
        let _turn = self.0.writing.lock().await;
        if self.find_plugin(organisation, id).is_none() {
            return Ok(false);
        }
        let deleted = self.0.store.delete_plugin(id, self.0.clock.read_now()).await;
        deleted.map_err(|error| unwritten(&error))?;
        self.retire_subscriber(SubscriberId::Hook(id));
        Ok(true)
    }

    /// Stores a version of a plugin; `false` when the plugin is gone. Old versions beyond the limit are
    /// deleted.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn add_plugin_version(
        &self,
        organisation: OrganisationId,
        version: &PluginVersion,
        wasm: &bytes::Bytes,
    ) -> Result<bool, AccountError> {
        let written = self.0.store.insert_plugin_version(version, wasm).await;
        written.map_err(|error| unwritten(&error))?;
        let _turn = self.0.writing.lock().await;
        let Some(plugin) = self.find_plugin(organisation, version.plugin_id) else { return Ok(false) };
        let spared: Vec<PluginVersionId> = [Some(version.id), plugin.active_version, plugin.previous_version]
            .into_iter()
            .flatten()
            .collect();
        let trimmed = self.0.store.trim_plugin_versions(plugin.id, &spared).await;
        trimmed.map_err(|error| unwritten(&error))?;
        Ok(true)
    }

    /// Returns a new id for a version.
    pub async fn next_version_id(&self) -> PluginVersionId {
        let now = self.0.clock.read_now();
        PluginVersionId::from_bits(self.0.writing.lock().await.next_bits(now.millis()))
    }

    /// Lists a plugin's versions, newest first.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn plugin_versions(&self, plugin: PluginId) -> Result<Vec<PluginVersion>, AccountError> {
        self.0.store.plugin_versions(plugin).await.map_err(|error| unread(&error))
    }

    /// Finds a version of a plugin.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn plugin_version(
        &self,
        plugin: PluginId,
        id: PluginVersionId,
    ) -> Result<Option<PluginVersion>, AccountError> {
        self.0.store.plugin_version(plugin, id).await.map_err(|error| unread(&error))
    }

    /// Activates a version. Runs under way finish on the version with which they began. `None` when the tenant
    /// has no such plugin.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn activate_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
        version: PluginVersionId,
    ) -> Result<Option<Result<Arc<Plugin>, PluginRefusal>>, AccountError> {
        let _turn = self.0.writing.lock().await;
        if self.find_plugin(organisation, id).is_none() {
            return Ok(None);
        }
        if self.plugin_version(id, version).await?.is_none() {
            return Ok(Some(Err(PluginRefusal::NoVersion)));
        }
        let decide = |row: &mut Plugin| {
            row.activate_version(version, self.0.clock.read_now());
            Ok(())
        };
        self.change_plugin(organisation, id, decide).await
    }

    /// Returns the stored keys and values of a plugin, for a run that is not recorded.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn plugin_kv(
        &self,
        plugin: PluginId,
    ) -> Result<kabar_core::domain::key_values::KeyValues, AccountError> {
        let kept = self.0.store.plugin_kv(plugin).await.map_err(|error| unread(&error))?;
        Ok(kept.map(|(kv, _)| kv).unwrap_or_default())
    }
}
