//! Versions of plugins, and the keys and values that their runs have stored.

use std::sync::Arc;

use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::key_values::KeyValues;
use kabar_core::domain::plugin::{Plugin, PluginVersion};
use kabar_core::ids::{IdSource as _, OrganisationId, PluginId, PluginVersionId};
use kabar_core::store::StoreError;

use super::directory::SubscriberDirectory;
use super::errors::PluginError;
use super::plugins::unwritten;
use crate::audit::AuditedChanges;
use crate::audit::audit_entry;
use crate::error::AccountError;

pub(super) fn unread(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "plugins not read")
}

/// Returns the versions that are kept whatever the limits: the active one, the one before, and a new one.
fn spared_versions(plugin: &Plugin, new: Option<PluginVersionId>) -> Vec<PluginVersionId> {
    [new, plugin.active_version, plugin.previous_version].into_iter().flatten().collect()
}

impl SubscriberDirectory {
    /// Stores a version of a plugin. Old versions beyond the limits are deleted.
    ///
    /// # Errors
    /// [`PluginError::NotFound`]; [`PluginError::TooManyBytes`]; [`AccountError::Storage`].
    pub async fn add_plugin_version(
        &self,
        organisation: OrganisationId,
        version: &PluginVersion,
        wasm: &bytes::Bytes,
        origin: &AuditOrigin,
    ) -> Result<(), PluginError> {
        let (store, bytes_max) = (&self.registry.0.store, self.limits.component_bytes);
        let plugin = self.find_plugin(organisation, version.plugin_id).ok_or(PluginError::NotFound)?;
        let spared = spared_versions(&plugin, None);
        let target = AuditTarget::one(AuditTargetKind::PluginVersion, &version.id);
        let action = AuditAction::PluginVersionUploaded;
        let entry = audit_entry(&self.registry.0.clock, origin, Some(organisation), action, target);
        let inserted = store.insert_plugin_version(version, wasm, &spared, bytes_max, &entry).await;
        if !inserted.map_err(|error| unwritten(&error))? {
            return Err(PluginError::TooManyBytes { bytes_max });
        }
        let _turn = self.registry.lock_writing().await;
        let plugin = self.find_plugin(organisation, version.plugin_id).ok_or(PluginError::NotFound)?;
        let spared = spared_versions(&plugin, Some(version.id));
        let trimmed = store.trim_plugin_versions(plugin.id, &spared, bytes_max).await;
        trimmed.map_err(|error| unwritten(&error))?;
        Ok(())
    }

    /// Returns a new id for a version.
    pub async fn next_version_id(&self) -> PluginVersionId {
        let now = self.registry.0.clock.read_now();
        PluginVersionId::from_bits(self.registry.lock_writing().await.next_bits(now.millis()))
    }

    /// Lists a plugin's versions, newest first.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn plugin_versions(&self, plugin: PluginId) -> Result<Vec<PluginVersion>, AccountError> {
        self.registry.0.store.plugin_versions(plugin).await.map_err(|error| unread(&error))
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
        self.registry.0.store.plugin_version(plugin, id).await.map_err(|error| unread(&error))
    }

    /// Activates a version. Runs under way finish on the version with which they began.
    ///
    /// # Errors
    /// [`PluginError::NotFound`]; [`PluginError::NoVersion`]; [`AccountError::Storage`];
    /// [`AccountError::Overloaded`] when other nodes change the plugin all the time.
    pub async fn activate_plugin(
        &self,
        organisation: OrganisationId,
        id: PluginId,
        version: PluginVersionId,
        origin: &AuditOrigin,
    ) -> Result<Arc<Plugin>, PluginError> {
        let _turn = self.registry.lock_writing().await;
        self.find_plugin(organisation, id).ok_or(PluginError::NotFound)?;
        self.plugin_version(id, version).await?.ok_or(PluginError::NoVersion)?;
        let decide = |row: &mut Plugin| {
            row.activate_version(version, self.registry.0.clock.read_now());
            Ok(())
        };
        let target = AuditTarget::one(AuditTargetKind::PluginVersion, &version);
        let action = AuditAction::PluginVersionActivated;
        let store = self.registry.audited(origin, Some(organisation), action, target);
        self.change_plugin(organisation, id, &store, decide).await
    }

    /// Returns the stored keys and values of a plugin, for a run that is not recorded.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn plugin_kv(&self, plugin: PluginId) -> Result<KeyValues, AccountError> {
        let kept = self.registry.0.store.plugin_kv(plugin).await.map_err(|error| unread(&error))?;
        Ok(kept.map(|(kv, _)| kv).unwrap_or_default())
    }
}
