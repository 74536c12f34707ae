//! Operations on deliveries: listing them with their attempts, and replaying them.

pub(crate) mod body;

use std::sync::Arc;

use kabar_actors::ReplayedDeliveries;
use kabar_core::domain::delivery::{Delivery, DeliveryStatus};
use kabar_core::domain::event::EventType;
use kabar_core::domain::page::{DeliveryFilter, DeliveryQuery, PageLimit, PagePosition};
use kabar_core::domain::time::TimeBound;
use kabar_core::ids::{DeliveryId, SubscriptionId};
use poem::http::StatusCode;
use poem_openapi::OpenApi;
use serde_json::Value;

use self::body::{BulkReplay, BulkReplayedBody, WebhookDeliveryBody};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::{DataResponse, OpenEnvelope, PageResponse};
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, ResponseFormat, Secrecy, once_of};
use crate::rest::json_body::JsonBody;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing deliveries.
    DeliveryListFails = [InvalidFieldValue, InvalidLimit, InvalidCursor, ResourceNotFound, StorageUnavailable];
    /// Error codes of reading a delivery.
    DeliveryGetFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable];
    /// Error codes of replaying a delivery.
    DeliveryReplayFails = [
        InvalidFieldValue, ResourceNotFound, IdempotencyInProgress, PayloadTooLarge, IdempotencyKeyReuse,
        StorageUnavailable,
    ];
    /// Error codes of replaying many deliveries.
    BulkReplayFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, IdempotencyInProgress,
        PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
}

/// Operations on deliveries.
#[derive(Debug, Clone)]
pub(crate) struct WebhookDeliveriesApi(pub(crate) Arc<AppState>);

fn no_delivery() -> ApiError {
    ApiError::not_found("webhook delivery", "delivery_id")
}

#[OpenApi(tag = "ApiTag::Webhooks")]
impl WebhookDeliveriesApi {
    /// List deliveries
    ///
    /// The most recently created first; rows are kept for 30 days. `pending` waits for its first attempt,
    /// `failed` for its next one; `dead` was given up.
    #[oai(path = "/v1/webhook_deliveries", method = "get", operation_id = "listWebhookDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_deliveries(
        &self,
        tenant: TenantCaller,
        /// Only deliveries to this subscription.
        subscription_id: QueryParam<SubscriptionId>,
        /// Only deliveries with this status.
        status: QueryParam<DeliveryStatus>,
        /// Only deliveries of events of this type.
        event_type: QueryParam<EventType>,
        /// Only rows created after this instant.
        created_after: QueryParam<TimeBound>,
        /// Only rows created before this instant.
        created_before: QueryParam<TimeBound>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<WebhookDeliveryBody>, OperationError<DeliveryListFails>> {
        let filter = DeliveryFilter {
            organisation_id: tenant.key.organisation_id,
            subscription_id: subscription_id.0,
            status: status.0,
            event_type: event_type.0,
            created_after: created_after.0.map(TimeBound::strictly_after),
            created_before: created_before.0.map(TimeBound::strictly_before),
        };
        let mut query = DeliveryQuery { filter, limit: limit.0.unwrap_or_default(), after: None };
        let scope = query.scope();
        let place = cursor.0.map(|text| self.0.open_cursor(&scope, &text)).transpose()?;
        query.after = place.map(|place| DeliveryId::from_bits(place.id));
        let page = self.0.accounts.dispatcher().page_deliveries(&query).await?;
        let last = page.rows.last().filter(|_| page.has_more);
        let sealed = |row: &Delivery| {
            self.0.cursor_key.sign_cursor(&scope, PagePosition { key: 0, id: row.id.bits() })
        };
        Ok(PageResponse {
            next_cursor: last.map(sealed),
            rows: page.rows.iter().map(WebhookDeliveryBody::from_delivery).collect(),
        })
    }

    /// Get a delivery
    ///
    /// Shows its last 32 attempts.
    #[oai(path = "/v1/webhook_deliveries/:delivery_id", method = "get", operation_id = "getWebhookDelivery")]
    async fn get_delivery(
        &self,
        tenant: TenantCaller,
        /// The delivery.
        delivery_id: Path<DeliveryId>,
    ) -> Result<DataResponse<WebhookDeliveryBody>, OperationError<DeliveryGetFails>> {
        let dispatcher = self.0.accounts.dispatcher();
        let found = dispatcher.find_delivery(tenant.key.organisation_id, delivery_id.0).await?;
        Ok(DataResponse(WebhookDeliveryBody::from_delivery(&found.ok_or_else(no_delivery)?)))
    }

    /// Replay a delivery
    ///
    /// Sends it again, whatever its status, with the same ids and a new signature; the count of its attempts
    /// begins anew. A delivery of a stopped subscription waits until the subscription resumes. The body, if
    /// there is one, is ignored.
    #[oai(
        path = "/v1/webhook_deliveries/:delivery_id/replay",
        method = "post",
        operation_id = "replayWebhookDelivery"
    )]
    async fn replay_delivery(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The delivery.
        delivery_id: Path<DeliveryId>,
    ) -> Result<IdempotentResponse<WebhookDeliveryBody, 200>, OperationError<DeliveryReplayFails>> {
        const FORM: ResponseFormat<Delivery> = ResponseFormat {
            status: StatusCode::OK,
            secrecy: Secrecy::Open,
            show: |row| OpenEnvelope::from_value(&WebhookDeliveryBody::from_delivery(row)),
        };
        let (dispatcher, organisation) = (self.0.accounts.dispatcher().clone(), tenant.key.organisation_id);
        let origin = tenant.origin();
        let work = |claim| {
            Ok(async move {
                let replayed =
                    dispatcher.replay_delivery(organisation, delivery_id.0, &origin, claim).await?;
                Ok(replayed.ok_or_else(no_delivery))
            })
        };
        Ok(once_of(&self.0, &tenant, &call, &Value::Null, work, FORM).await?.into())
    }

    /// Replay many deliveries
    ///
    /// Sends the oldest 1 000 of the deliveries that match the filters again, whatever their status. Without
    /// `status` that includes delivered ones.
    #[oai(
        path = "/v1/webhook_deliveries/bulk_replay",
        method = "post",
        operation_id = "replayWebhookDeliveries"
    )]
    async fn bulk_replay(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        body: JsonBody<BulkReplay>,
    ) -> Result<IdempotentResponse<BulkReplayedBody, 200>, OperationError<BulkReplayFails>> {
        const FORM: ResponseFormat<ReplayedDeliveries> = ResponseFormat {
            status: StatusCode::OK,
            secrecy: Secrecy::Open,
            show: |replayed| OpenEnvelope::from_value(&BulkReplayedBody::from_replayed(*replayed)),
        };
        let (dispatcher, organisation) = (self.0.accounts.dispatcher().clone(), tenant.key.organisation_id);
        let origin = tenant.origin();
        let work = |claim| {
            let filter = body::read_filter(&body.value, organisation)?;
            Ok(async move {
                let replayed = dispatcher.replay_many(&filter, &origin, claim).await?;
                Ok(replayed.ok_or_else(|| ApiError::not_found("webhook subscription", "subscription_id")))
            })
        };
        Ok(once_of(&self.0, &tenant, &call, &body.value, work, FORM).await?.into())
    }
}
