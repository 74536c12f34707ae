//! Lists runs, and replays them.

use std::time::Duration;

use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::effect::EffectRow;
use kabar_core::domain::page::{RowPage, RunLogQuery, RunQuery};
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::run::{Run, RunLog};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{PluginId, RunId};

use super::directory::SubscriberDirectory;
use super::plugin_versions::unread;
use super::plugins::unwritten;
use crate::audit::AuditedChanges;
use crate::error::AccountError;

/// Runs that are opened in one write.
const STEP: usize = 1000;
/// Most runs that one call replays.
const REPLAYED_MAX: usize = 10_000;
/// Time for which runs are kept. Older events must not be replayed, because the outcome of their runs is
/// deleted.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// Time before the deletion of runs in which they are not replayed any more.
const MARGIN: Duration = Duration::from_hours(1);

/// Start or end of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// The event of this number.
    Sequence(i64),
    /// The first event at or after this instant.
    Time(Timestamp),
}

/// Outcome of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayedRuns {
    /// Runs that are replayed.
    pub enqueued: usize,
    /// Set when there were more, which stay as they are.
    pub capped: bool,
}

impl SubscriberDirectory {
    /// Reads a page of a plugin's runs with their effects, newest first.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn page_runs(&self, query: &RunQuery) -> Result<(RowPage<Run>, Vec<EffectRow>), AccountError> {
        let page = self.registry.0.store.page_runs(query).await.map_err(|error| unread(&error))?;
        let ids = page.rows.iter().map(Run::run_id).collect();
        let effects =
            self.registry.0.store.effects_of(query.plugin_id, &ids).await.map_err(|error| unread(&error))?;
        Ok((page, effects))
    }

    /// Finds a plugin's run with its effects.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn find_run(
        &self,
        plugin: PluginId,
        id: RunId,
    ) -> Result<Option<(Run, Vec<EffectRow>)>, AccountError> {
        let run = self.registry.0.store.find_run(plugin, id).await.map_err(|error| unread(&error))?;
        let Some(run) = run else { return Ok(None) };
        let effects =
            self.registry.0.store.effects_of(plugin, &[id].into()).await.map_err(|error| unread(&error))?;
        Ok(Some((run, effects)))
    }

    /// Reads a page of a plugin's logs, newest first.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn run_logs(&self, query: &RunLogQuery) -> Result<RowPage<RunLog>, AccountError> {
        self.registry.0.store.run_logs(query).await.map_err(|error| unread(&error))
    }

    /// Replays one event to a plugin, whatever the outcome of its run was; `None` when the plugin has no such
    /// run. The run of a plugin that is stopped waits until the plugin runs again.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn replay_run(
        &self,
        plugin: &Plugin,
        id: RunId,
        origin: &AuditOrigin,
    ) -> Result<Option<(Run, Vec<EffectRow>)>, AccountError> {
        let Some((found, _)) = self.find_run(plugin.id, id).await? else { return Ok(None) };
        let target = AuditTarget::one(AuditTargetKind::PluginRun, &id);
        let action = AuditAction::PluginRunReplayed;
        let store = self.registry.audited(origin, Some(plugin.organisation_id), action, target);
        let opened = store.reopen_run(plugin.id, id, self.registry.0.clock.read_now()).await;
        opened.map_err(|error| unwritten(&error))?;
        self.bring_runs(plugin.id, found.delivery.account).await?;
        self.find_run(plugin.id, id).await
    }

    /// Replays the events of an account to a plugin, from the first up to and including the last, oldest first.
    /// Events are replayed with or without an earlier run. One call replays at most 10 000 events, and none
    /// that is too old for its run to be kept.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn replay_runs(
        &self,
        plugin: &Plugin,
        account: i64,
        (from, to): (ReplayFrom, Option<ReplayFrom>),
        origin: &AuditOrigin,
    ) -> Result<ReplayedRuns, AccountError> {
        let now = self.registry.0.clock.read_now();
        let target = AuditTarget::one(AuditTargetKind::Plugin, &plugin.id);
        let action = AuditAction::PluginReplayed;
        let store = self.registry.audited(origin, Some(plugin.organisation_id), action, target);
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
            let mut ids = self.registry.lock_writing().await;
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

    /// Has a delivery worker, here or on another node, read the runs that have been opened.
    async fn bring_runs(&self, plugin: PluginId, account: i64) -> Result<(), AccountError> {
        self.starter.reload_worker(SubscriberId::Hook(plugin), account);
        if self.cluster.is_shared() {
            self.registry.0.store.touch_plugin(plugin).await.map_err(|error| unwritten(&error))?;
        }
        Ok(())
    }
}
