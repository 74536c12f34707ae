//! Liveness, readiness and metrics of the server.
//!
//! Liveness ignores dependencies, so that an unavailable database does not get the process killed; readiness
//! names each one.

mod readiness_probe;

use std::sync::Arc;

use kabar_core::redis::RedisState;
use poem::http::header::CONTENT_TYPE;
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

use self::readiness_probe::ReadinessProbe;
use crate::app::AppState;
use crate::rest::envelope;
use crate::rest::envelope::DataResponse;
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of liveness: none.
    NeverFails = [];
    /// Error codes of readiness.
    ReadyFails = [StorageUnavailable, Overloaded];
}

/// Result of a liveness check.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Status", example)]
pub(crate) struct HealthBody {
    /// Always `ok`.
    pub(crate) status: String,
}

impl HealthBody {
    /// Builds the only value.
    #[must_use]
    pub(crate) fn ok() -> Self {
        Self { status: "ok".to_owned() }
    }
}

impl Example for HealthBody {
    fn example() -> Self {
        Self::ok()
    }
}

/// Result of a readiness check.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Readiness", example)]
pub(crate) struct ReadinessBody {
    /// Always `ready`; otherwise the answer is 503.
    pub(crate) status: String,
    /// Each thing that the server depends on.
    pub(crate) dependencies: Vec<DependencyBody>,
}

/// One thing that the server depends on.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Dependency")]
pub(crate) struct DependencyBody {
    /// Name of the dependency.
    pub(crate) name: String,
    /// `ok`, or `away` for a dependency that the server can do without: Redis. When the database is away the
    /// response is 503 and names it.
    pub(crate) status: String,
}

impl DependencyBody {
    fn new(name: &str, status: &str) -> Self {
        Self { name: name.to_owned(), status: status.to_owned() }
    }
}

impl ReadinessBody {
    fn ready(memory: RedisState) -> Self {
        let redis = match memory {
            RedisState::Absent => None,
            RedisState::Up => Some("ok"),
            RedisState::Away => Some("away"),
        };
        let redis = redis.map(|status| DependencyBody::new("redis", status));
        let dependencies = std::iter::once(DependencyBody::new("database", "ok")).chain(redis).collect();
        Self { status: "ready".to_owned(), dependencies }
    }
}

impl Example for ReadinessBody {
    fn example() -> Self {
        Self::ready(RedisState::Up)
    }
}

/// Counters in the text of `OpenMetrics`.
pub(crate) struct MetricsText(String);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        Response::builder().header(CONTENT_TYPE, OPEN_METRICS).body(self.0)
    }
}

impl ApiResponse for MetricsText {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let mut text = envelope::bare_response(200, "Every counter.");
        text.content.push(MetaMediaType { content_type: "application/openmetrics-text", schema });
        envelope::collect_responses([text])
    }

    fn register(_registry: &mut Registry) {}
}

/// Operations on the server itself.
#[derive(Debug, Clone)]
pub(crate) struct HealthApi(Arc<AppState>, Arc<ReadinessProbe>);

impl HealthApi {
    pub(crate) fn new(app: &Arc<AppState>) -> Self {
        Self(app.clone(), Arc::new(ReadinessProbe::new(app.store.clone())))
    }
}

#[OpenApi(tag = "ApiTag::Server")]
impl HealthApi {
    /// Check liveness
    ///
    /// Needs no key.
    #[oai(path = "/v1/health", method = "get", operation_id = "getHealth")]
    #[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
    async fn get_health(&self) -> Result<DataResponse<HealthBody>, OperationError<NeverFails>> {
        Ok(DataResponse(HealthBody::ok()))
    }

    /// Check readiness
    ///
    /// Checks each dependency of the server. The response is 503 when the database does not answer, and while
    /// the server is stopping; an unavailable Redis is only reported. Needs no key.
    #[oai(path = "/readyz", method = "get", operation_id = "getReadiness")]
    async fn get_readiness(&self) -> Result<DataResponse<ReadinessBody>, OperationError<ReadyFails>> {
        if self.0.stopping.is_cancelled() {
            return Err(ApiError::new(ErrorCode::Overloaded, "the server is stopping").into());
        }
        if !self.1.probe_database().await {
            let refusal = ApiError::new(ErrorCode::StorageUnavailable, "the database does not answer");
            return Err(refusal.with_param("database").into());
        }
        Ok(DataResponse(ReadinessBody::ready(self.0.memory.state())))
    }

    /// Get the server's metrics
    ///
    /// For Prometheus. Names no tenant. Needs no key.
    #[oai(path = "/metrics", method = "get", operation_id = "getMetrics")]
    #[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
    async fn get_metrics(&self) -> Result<MetricsText, OperationError<NeverFails>> {
        self.0.metrics.note_accounts(self.0.directory.accounts_by_status());
        self.0.metrics.note_statements(self.0.store.statements_executed());
        self.0.metrics.note_parked_dropped(self.0.store.parked_items_dropped());
        self.0.accounts.refresh_gauges();
        Ok(MetricsText(self.0.metrics.encode()))
    }
}
