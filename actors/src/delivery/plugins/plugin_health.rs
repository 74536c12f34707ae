//! Health of plugins: paused while they fail, disabled when that does not end, or by the operator.

use std::sync::Arc;

use kabar_core::cause::cause;
use kabar_core::domain::plugin::{Plugin, PluginHealth};
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::PluginId;
use kabar_core::policy::failure_rate::HealthChange;

use super::unwritten;
use crate::accounts::AccountError;
use crate::delivery::DeliveryDispatcher;

impl DeliveryDispatcher {
    /// Records that an outcome has paused, resumed or disabled a subscriber.
    pub(in crate::delivery) fn note_turn(&self, id: SubscriberId, turn: HealthChange, now: Timestamp) {
        let standing = match turn {
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
                let dispatcher = self.clone();
                self.0.tasks.spawn(async move { dispatcher.record_health(plugin, standing).await });
            }
        }
        if turn == HealthChange::Recovered {
            self.look_all(id);
        }
    }

    /// Stores the health of a plugin, unless the operator has disabled it already.
    async fn record_health(&self, id: PluginId, standing: PluginHealth) {
        if let Err(error) = self.set_standing(id, standing).await {
            tracing::error!(plugin = %id, error = cause(&error), "standing of a plugin not written");
        }
    }

    async fn set_standing(
        &self,
        id: PluginId,
        standing: PluginHealth,
    ) -> Result<Option<Arc<Plugin>>, AccountError> {
        let _turn = self.0.writing.lock().await;
        let Some(found) = self.find_any_plugin(id) else { return Ok(None) };
        if found.standing.by_operator && !standing.by_operator {
            return Ok(Some(found));
        }
        let written = self.0.store.set_plugin_standing(id, &standing).await;
        let written = written.map_err(|error| unwritten(&error))?;
        let row = if written == Some(found.row_version.next()) {
            let row_version = found.row_version.next();
            let row = Arc::new(Plugin { standing, row_version, ..Plugin::clone(&found) });
            let now = self.0.clock.take_reading();
            self.publish_registry(|next| next.put_subscriber(Subscriber::Hook(row.clone()), &now));
            Some(row)
        } else {
            // Another node has written the row meanwhile.
            self.read_plugin(id).await?
        };
        self.look_all(SubscriberId::Hook(id));
        Ok(row)
    }

    /// Disables a plugin of any tenant for the operator; `None` when there is none of this id.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn disable_plugin(
        &self,
        id: PluginId,
        reason: Option<Arc<str>>,
    ) -> Result<Option<Arc<Plugin>>, AccountError> {
        self.set_standing(id, PluginHealth::forbidden_since(self.0.clock.read_now(), reason)).await
    }
}
