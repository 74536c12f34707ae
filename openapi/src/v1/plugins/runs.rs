//! Operations on the runs of a plugin: listing them and their logs, and replaying.

pub(crate) mod body;
pub(crate) mod replay;

use std::sync::Arc;

use kabar_actors::ReplayedRuns;
use kabar_core::domain::delivery::DeliveryStatus;
use kabar_core::domain::page::{PageLimit, PagePosition, RowPage, RunLogQuery, RunQuery};
use kabar_core::domain::run::RunLog;
use kabar_core::domain::time::TimeBound;
use kabar_core::ids::{PluginId, RunId, RunLogId};
use poem::http::StatusCode;
use poem_openapi::OpenApi;
use serde_json::Value;

use self::body::{ReplayedBody, RunBody, RunLogBody, RunStatus};
use self::replay::ReplayRuns;
use super::find_plugin;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::{DataResponse, PageResponse};
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, once_beside};
use crate::rest::json_body::JsonBody;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing runs and their logs.
    RunListFails = [InvalidFieldValue, InvalidLimit, InvalidCursor, ResourceNotFound, StorageUnavailable];
    /// Error codes of reading a run.
    RunGetFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable];
    /// Error codes of replaying a run.
    RunReplayFails = [
        InvalidFieldValue, ResourceNotFound, IdempotencyInProgress, IdempotencyKeyReuse, StorageUnavailable,
    ];
    /// Error codes of replaying a part of the log.
    ReplayFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, IdempotencyInProgress,
        PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
}

fn no_run() -> ApiError {
    ApiError::not_found("run of this plugin", "run_id")
}

/// Operations on runs.
#[derive(Debug, Clone)]
pub(crate) struct RunsApi(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Plugins")]
impl RunsApi {
    /// List runs
    ///
    /// Newest first; kept for 30 days. A run is the handling of one event by a plugin, over all its attempts:
    /// `succeeded`, `failed` with another attempt at `next_attempt_at`, or `dead`. A run that waits for its
    /// first attempt, or was replayed, is `pending`. `effects` shows the outcome of its requests.
    #[oai(path = "/v1/plugins/:plugin_id/runs", method = "get", operation_id = "listPluginRuns")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_runs(
        &self,
        tenant: TenantCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        /// Only runs with this status.
        status: QueryParam<RunStatus>,
        /// Only runs created strictly after this instant (RFC 3339, any offset).
        created_after: QueryParam<TimeBound>,
        /// Only runs created strictly before this instant (RFC 3339, any offset).
        created_before: QueryParam<TimeBound>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<RunBody>, OperationError<RunListFails>> {
        let plugin = find_plugin(&self.0, &tenant, plugin_id.0)?;
        let mut query = RunQuery {
            plugin_id: plugin.id,
            status: status.0.map(|status| status.0),
            created_after: created_after.0.map(TimeBound::strictly_after),
            created_before: created_before.0.map(TimeBound::strictly_before),
            limit: limit.0.unwrap_or_default(),
            after: None,
        };
        let scope = query.scope();
        let place = cursor.0.map(|text| self.0.open_cursor(&scope, &text)).transpose()?;
        query.after = place.map(|place| RunId::from_bits(place.id));
        let (page, effects) = self.0.accounts.subscribers().page_runs(&query).await?;
        let next_cursor = self.next_cursor(&page, &scope, |row| row.run_id().bits());
        let rows = page.rows.iter().map(|run| RunBody::from_run(&self.0, run, &effects)).collect();
        Ok(PageResponse { rows, next_cursor })
    }

    /// Get a run
    ///
    /// Shows its attempts and the outcome of its effects.
    #[oai(path = "/v1/plugins/:plugin_id/runs/:run_id", method = "get", operation_id = "getPluginRun")]
    async fn get_run(
        &self,
        tenant: TenantCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        /// The run (`run_…`).
        run_id: Path<RunId>,
    ) -> Result<DataResponse<RunBody>, OperationError<RunGetFails>> {
        let plugin = find_plugin(&self.0, &tenant, plugin_id.0)?;
        let found = self.0.accounts.subscribers().find_run(plugin.id, run_id.0).await?;
        let (run, effects) = found.ok_or_else(no_run)?;
        Ok(DataResponse(RunBody::from_run(&self.0, &run, &effects)))
    }

    /// List logs
    ///
    /// Log lines of components, newest first, one row per attempt that wrote any; kept for 30 days. Up to 64
    /// KiB of one attempt are kept. The lines of a row are in the order of writing.
    #[oai(path = "/v1/plugins/:plugin_id/logs", method = "get", operation_id = "listPluginLogs")]
    async fn list_logs(
        &self,
        tenant: TenantCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        /// Only logs of this run.
        run_id: QueryParam<RunId>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<RunLogBody>, OperationError<RunListFails>> {
        let plugin = find_plugin(&self.0, &tenant, plugin_id.0)?;
        let limit = limit.0.unwrap_or_default();
        let mut query = RunLogQuery { plugin_id: plugin.id, run_id: run_id.0, limit, after: None };
        let scope = query.scope();
        let place = cursor.0.map(|text| self.0.open_cursor(&scope, &text)).transpose()?;
        query.after = place.map(|place| RunLogId::from_bits(place.id));
        let page = self.0.accounts.subscribers().run_logs(&query).await?;
        let next_cursor = self.next_cursor(&page, &scope, |row: &RunLog| row.id.bits());
        Ok(PageResponse { rows: page.rows.iter().map(RunLogBody::from_row).collect(), next_cursor })
    }

    /// Replay a run
    ///
    /// The plugin gets the event again, on the version that is active then, from the beginning of the retry
    /// schedule. Effects of the event that already took place are not repeated; refused ones are tried again.
    /// A run of a stopped plugin waits until the plugin resumes.
    #[oai(
        path = "/v1/plugins/:plugin_id/runs/:run_id/replay",
        method = "post",
        operation_id = "replayPluginRun"
    )]
    async fn replay_one(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        /// The run (`run_…`).
        run_id: Path<RunId>,
    ) -> Result<IdempotentResponse<RunBody, 200>, OperationError<RunReplayFails>> {
        let make = async {
            let plugin = find_plugin(&self.0, &tenant, plugin_id.0)?;
            let replayed =
                self.0.accounts.subscribers().replay_run(&plugin, run_id.0, &tenant.origin()).await?;
            let (run, effects) = replayed.ok_or_else(no_run)?;
            call.shows_contact(run.delivery.contact_id);
            Ok(RunBody::from_run(&self.0, &run, &effects))
        };
        let once = once_beside(&self.0, &tenant, &call, &Value::Null, StatusCode::OK, Box::pin(make));
        Ok(once.await?.into())
    }

    /// Replay a part of the log
    ///
    /// The plugin gets the events of its types again, oldest first, delivered before or not; events that it
    /// is still due to get are left alone. At most 10 000 a call: with `capped`, call again with a later
    /// beginning. No effect is repeated; see the replay of a run. Numbers count within one account's log, so
    /// an organization with several accounts names one with `from_sequence`.
    #[oai(path = "/v1/plugins/:plugin_id/replay", method = "post", operation_id = "replayPlugin")]
    async fn replay_runs(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        body: JsonBody<ReplayRuns>,
    ) -> Result<IdempotentResponse<ReplayedBody, 200>, OperationError<ReplayFails>> {
        let make = async {
            let plugin = find_plugin(&self.0, &tenant, plugin_id.0)?;
            let wanted = replay::read_selection(&self.0, &plugin, &body.value)?;
            let subscribers = self.0.accounts.subscribers();
            let (mut all, origin) = (ReplayedRuns::default(), tenant.origin());
            for account in wanted.accounts {
                let range = (wanted.from, wanted.to);
                let some = subscribers.replay_runs(&plugin, account, range, &origin).await?;
                all.enqueued += some.enqueued;
                all.capped |= some.capped;
            }
            Ok(ReplayedBody::from_runs(all))
        };
        Ok(once_beside(&self.0, &tenant, &call, &body.value, StatusCode::OK, make).await?.into())
    }
}

impl RunsApi {
    fn next_cursor<T>(&self, page: &RowPage<T>, scope: &str, id_of: impl Fn(&T) -> u128) -> Option<String> {
        let last = page.rows.last().filter(|_| page.has_more)?;
        Some(self.0.cursor_key.sign_cursor(scope, PagePosition { key: 0, id: id_of(last) }))
    }
}

/// Values of a run's status.
pub(crate) const RUN_STATUSES: [DeliveryStatus; 4] = DeliveryStatus::ALL;
