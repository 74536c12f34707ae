//! Runs as they are listed, and how they are brought again.

use std::time::Duration;

use kabar_core::domain::effect::EffectRow;
use kabar_core::domain::page::{RowPage, RunLogQuery, RunQuery};
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::run::{Run, RunLog};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{PluginId, RunId};

use super::{unread, unwritten};
use crate::accounts::AccountError;
use crate::delivery::DeliveryDispatcher;

/// Runs that are opened in one write.
const STEP: usize = 1000;
/// The most that one call brings again.
const REPLAYED_MAX: usize = 10_000;
/// Runs are kept for so long; what is older must not be brought again, because what became of it is
/// forgotten.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// Before runs are forgotten, nothing of them is brought again.
const MARGIN: Duration = Duration::from_hours(1);

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// With the event of this number.
    Sequence(i64),
    /// With the first event at or after this instant.
    Time(Timestamp),
}

/// What became of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayedRuns {
    /// So many are brought again.
    pub enqueued: usize,
    /// There were more, which stay as they are.
    pub capped: bool,
}

impl DeliveryDispatcher {
    /// A page of a plugin's runs with what they asked for, newest first.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn page_runs(&self, query: &RunQuery) -> Result<(RowPage<Run>, Vec<EffectRow>), AccountError> {
        let page = self.0.store.page_runs(query).await.map_err(|error| unread(&error))?;
        let ids = page.rows.iter().map(Run::run_id).collect();
        let effects = self.0.store.effects_of(&ids).await.map_err(|error| unread(&error))?;
        Ok((page, effects))
    }

    /// A plugin's run with what it asked for.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn find_run(
        &self,
        plugin: PluginId,
        id: RunId,
    ) -> Result<Option<(Run, Vec<EffectRow>)>, AccountError> {
        let run = self.0.store.find_run(plugin, id).await.map_err(|error| unread(&error))?;
        let Some(run) = run else { return Ok(None) };
        let effects = self.0.store.effects_of(&[id].into()).await.map_err(|error| unread(&error))?;
        Ok(Some((run, effects)))
    }

    /// A page of a plugin's logs, newest first.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn run_logs(&self, query: &RunLogQuery) -> Result<RowPage<RunLog>, AccountError> {
        self.0.store.run_logs(query).await.map_err(|error| unread(&error))
    }

    /// Brings one event to a plugin again, whatever became of it; `None` when it has no such run. Of a plugin
    /// that does not run it waits until that goes on.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn replay_run(
        &self,
        plugin: &Plugin,
        id: RunId,
    ) -> Result<Option<(Run, Vec<EffectRow>)>, AccountError> {
        let Some((found, _)) = self.find_run(plugin.id, id).await? else { return Ok(None) };
        let opened = self.0.store.reopen_run(plugin.id, id, self.0.clock.read_now()).await;
        opened.map_err(|error| unwritten(&error))?;
        self.bring_runs(plugin.id, found.delivery.account).await?;
        self.find_run(plugin.id, id).await
    }

    /// Brings the events of an account to a plugin again, from the first up to and including the last, oldest
    /// first, whether it has had them or not. At most as many as one call may bring, and none whose runs are
    /// not kept any more.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn replay_runs(
        &self,
        plugin: &Plugin,
        account: i64,
        from: ReplayFrom,
        to: Option<ReplayFrom>,
    ) -> Result<ReplayedRuns, AccountError> {
        let now = self.0.clock.read_now();
        let store = &self.0.store;
        let oldest = now.minus_duration(KEPT).plus_duration(MARGIN);
        let oldest = store.first_event_since(account, oldest).await.map_err(|error| unread(&error))?;
        let mut next = match from {
            ReplayFrom::Sequence(number) => number,
            ReplayFrom::Time(at) => {
                store.first_event_since(account, at).await.map_err(|error| unread(&error))?
            }
        };
        next = next.max(oldest);
        let to = match to {
            None => i64::MAX,
            Some(ReplayFrom::Sequence(number)) => number,
            Some(ReplayFrom::Time(at)) => {
                let beyond = store.first_event_since(account, at.next()).await;
                beyond.map_err(|error| unread(&error))?.saturating_sub(1)
            }
        };
        let mut replayed = ReplayedRuns::default();
        loop {
            let mut ids = self.0.writing.lock().await;
            let opened =
                store.open_runs(plugin, plugin.events, (account, next, to), STEP, now, &mut *ids).await;
            drop(ids);
            let opened = opened.map_err(|error| unwritten(&error))?;
            replayed.enqueued += opened.opened;
            let Some(last) = opened.last.filter(|_| opened.opened == STEP) else { break };
            next = last.saturating_add(1);
            if replayed.enqueued >= REPLAYED_MAX {
                replayed.capped = true;
                break;
            }
        }
        if replayed.enqueued > 0 {
            self.bring_runs(plugin.id, account).await?;
        }
        Ok(replayed)
    }

    /// Has a delivery worker, here or elsewhere, read the runs that have been opened.
    async fn bring_runs(&self, plugin: PluginId, account: i64) -> Result<(), AccountError> {
        self.reload_worker(SubscriberId::Hook(plugin), account);
        if self.0.cluster.is_shared() {
            self.0.store.touch_plugin(plugin).await.map_err(|error| unwritten(&error))?;
        }
        Ok(())
    }
}
