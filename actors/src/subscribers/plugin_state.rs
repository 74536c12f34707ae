//! Health of plugins: paused while they fail, disabled when that does not end, or by the operator.

use std::sync::Arc;

use kabar_core::cause::cause;
use kabar_core::domain::plugin::{Plugin, PluginHealth, PluginState};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{OrganisationId, PluginId};
use kabar_core::policy::failure_rate::HealthChange;
use kabar_core::store::Store;

use super::registry::{SubscriberRegistry, plugin_of};
use crate::error::AccountError;

impl SubscriberRegistry {
    /// Records that an outcome has paused, resumed or disabled a subscriber.
    pub(crate) fn note_turn(&self, id: SubscriberId, turn: HealthChange, now: Timestamp) {
        let health = match turn {
            HealthChange::None => return,
            HealthChange::Paused => {
                tracing::warn!(subscriber = %id, "subscriber fails too often; trying it less");
                PluginHealth::paused_since(now)
            }
            HealthChange::Recovered => PluginHealth::active_since(now),
            HealthChange::GivenUp => {
                tracing::warn!(subscriber = %id, "plugin disabled: it was paused for too long");
                PluginHealth::given_up(now)
            }
        };
        match id {
            SubscriberId::Webhook(_) => {}
            SubscriberId::Hook(plugin) => {
                let subscribers = self.clone();
                self.0.tasks.spawn(async move { subscribers.record_health(plugin, health).await });
            }
        }
        if turn == HealthChange::Recovered {
            self.tell_change(id);
        }
    }

    /// Begins the time anew for which the paused plugins of a tenant have failed: while the tenant was suspended,
    /// they were not tried.
    pub(crate) async fn restart_pauses(&self, organisation: OrganisationId) -> Result<(), AccountError> {
        let now = self.0.clock.take_reading();
        let snapshot = self.current_snapshot();
        for state in snapshot.of_organisation(organisation) {
            let Some(plugin) = plugin_of(&state.get()) else { continue };
            if plugin.standing.state == PluginState::Paused {
                state.lock_health().restart_pause(now.monotonic);
                let health = PluginHealth::paused_since(now.wall);
                self.set_plugin_health(plugin.id, health, &self.0.store).await?;
            }
        }
        Ok(())
    }

    async fn record_health(&self, id: PluginId, health: PluginHealth) {
        if let Err(error) = self.set_plugin_health(id, health, &self.0.store).await {
            tracing::error!(plugin = %id, error = cause(&error), "standing of a plugin not written");
        }
    }

    /// Writes the health of a plugin with `store`, unless the operator has disabled it already; `None` when there is none of
    /// this id.
    pub(super) async fn set_plugin_health(
        &self,
        id: PluginId,
        health: PluginHealth,
        store: &Store,
    ) -> Result<Option<Arc<Plugin>>, AccountError> {
        let _turn = self.lock_writing().await;
        let Some(found) = self.find_any_plugin(id) else { return Ok(None) };
        if found.standing.by_operator && !health.by_operator {
            return Ok(Some(found));
        }
        let written = store.set_plugin_standing(id, &health).await;
        let written = written.map_err(|error| AccountError::from_store(&error, "plugin not written"))?;
        let row = if written == Some(found.row_version.next()) {
            let row_version = found.row_version.next();
            let row = Arc::new(Plugin { standing: health, row_version, ..Plugin::clone(&found) });
            self.publish_plugin(&row);
            Some(row)
        } else {
            // Another node has written the row meanwhile.
            self.read_plugin(id).await?
        };
        self.tell_change(SubscriberId::Hook(id));
        Ok(row)
    }
}
