//! Operations on webhook subscriptions: URL, event types and signing secrets.

pub(crate) mod body;
pub(crate) mod write;

use std::sync::Arc;

use kabar_actors::{AccountError, SubscriptionError};
use kabar_core::domain::page::PageLimit;
use kabar_core::ids::SubscriptionId;
use poem::http::StatusCode;
use poem_openapi::OpenApi;

use self::body::{
    CreateWebhookSecret, CreateWebhookSubscription, CreatedWebhookSecretBody, CreatedWebhookSubscriptionBody,
    ReplayWebhookEvents, ReplayedEventsBody, UpdateWebhookSubscription, WebhookSubscriptionBody,
};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::{DataResponse, NoContentResponse, OpenEnvelope, PageResponse};
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, ResponseFormat, Secrecy, once_of};
use crate::rest::json_body::JsonBody;
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of creating a subscription.
    SubscriptionCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, InvalidWebhookUrl, PlanLimitReached,
        IdempotencyInProgress, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
    /// Error codes of listing subscriptions.
    SubscriptionListFails = [InvalidLimit, InvalidCursor];
    /// Error codes of reading a subscription.
    SubscriptionGetFails = [InvalidFieldValue, ResourceNotFound];
    /// Error codes of changing a subscription.
    SubscriptionUpdateFails = [
        InvalidRequest, InvalidFieldValue, InvalidWebhookUrl, ResourceNotFound, PayloadTooLarge,
        UnsupportedMediaType, StorageUnavailable,
    ];
    /// Error codes of deleting a subscription.
    SubscriptionDeleteFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable];
    /// Error codes of creating a secret.
    SecretCreateFails = [
        InvalidRequest, InvalidFieldValue, PlanLimitReached, ResourceNotFound, IdempotencyInProgress,
        PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
    /// Error codes of replaying a log.
    LogReplayFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, IdempotencyInProgress,
        PositionExpired, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
}

/// Operations on webhook subscriptions.
#[derive(Debug, Clone)]
pub(crate) struct WebhookSubscriptionsApi(pub(crate) Arc<AppState>);

fn no_subscription() -> ApiError {
    ApiError::not_found("webhook subscription", "subscription_id")
}

fn subscription_error(error: SubscriptionError) -> ApiError {
    match error {
        SubscriptionError::NotFound => no_subscription(),
        SubscriptionError::Account(error) => error.into(),
        SubscriptionError::TooMany => ApiError::new(
            ErrorCode::PlanLimitReached,
            "the organization has as many webhook subscriptions as it may have; delete one first",
        ),
        SubscriptionError::TooManySecrets => ApiError::new(
            ErrorCode::PlanLimitReached,
            "the subscription has as many secrets as it may have; wait until one expires",
        ),
    }
}

/// Separates the outcome that the operation decides, which is recorded under its key, from a failure of the server.
fn separate_failure<T>(made: Result<T, SubscriptionError>) -> Result<Result<T, ApiError>, AccountError> {
    match made {
        Ok(made) => Ok(Ok(made)),
        Err(SubscriptionError::Account(failure)) => Err(failure),
        Err(decided) => Ok(Err(subscription_error(decided))),
    }
}

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Webhooks")]
impl WebhookSubscriptionsApi {
    /// Create a webhook subscription
    ///
    /// Every later event of these types, of all your numbers, is sent to `url` as a POST with the event as
    /// its body; see `x-webhooks` for the request. `initial_secret` signs it, and is shown here and never
    /// again. The url must be https and lead to public addresses only, at every attempt.
    #[oai(path = "/v1/webhook_subscriptions", method = "post", operation_id = "createWebhookSubscription")]
    async fn create_subscription(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        body: JsonBody<CreateWebhookSubscription>,
    ) -> Result<
        IdempotentResponse<CreatedWebhookSubscriptionBody, 201>,
        OperationError<SubscriptionCreateFails>,
    > {
        const FORM: ResponseFormat<write::WrittenSubscription> = ResponseFormat {
            status: StatusCode::CREATED,
            secrecy: Secrecy::Secret,
            show: |made| OpenEnvelope::from_value(&CreatedWebhookSubscriptionBody::from_subscription(made)),
        };
        let (subscribers, organisation) = (self.0.accounts.subscribers().clone(), tenant.key.organisation_id);
        let (outbound, origin) = (&self.0.outbound, tenant.origin());
        let work = |claim| {
            let new = write::read_new(&body.value, outbound, tenant.principal())?;
            Ok(async move {
                separate_failure(subscribers.create_subscription(organisation, new, &origin, claim).await)
            })
        };
        Ok(once_of(&self.0, &tenant, &call, &body.value, work, FORM).await?.into())
    }

    /// List webhook subscriptions
    ///
    /// The most recently created first.
    #[oai(path = "/v1/webhook_subscriptions", method = "get", operation_id = "listWebhookSubscriptions")]
    async fn list_subscriptions(
        &self,
        tenant: TenantCaller,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<WebhookSubscriptionBody>, OperationError<SubscriptionListFails>> {
        let id = tenant.key.organisation_id;
        let scope = format!("webhook_subscriptions/{id}");
        let place = PageRequest::parse_request(&self.0.cursor_key, &scope, limit.0, cursor.0.as_ref())?;
        let rows = self.0.accounts.subscribers().subscriptions_of(id);
        let now = self.0.clock.read_now();
        Ok(place.page_response(
            rows,
            |row| row.id.bits(),
            |row| WebhookSubscriptionBody::from_subscription(row, now),
        ))
    }

    /// Get a webhook subscription
    ///
    /// Its secrets are not shown, only which of them sign now.
    #[oai(
        path = "/v1/webhook_subscriptions/:subscription_id",
        method = "get",
        operation_id = "getWebhookSubscription"
    )]
    async fn get_subscription(
        &self,
        tenant: TenantCaller,
        /// The subscription.
        subscription_id: Path<SubscriptionId>,
    ) -> Result<DataResponse<WebhookSubscriptionBody>, OperationError<SubscriptionGetFails>> {
        let subscribers = self.0.accounts.subscribers();
        let found = subscribers.find_subscription(tenant.key.organisation_id, subscription_id.0);
        let found = found.ok_or_else(no_subscription)?;
        Ok(DataResponse(WebhookSubscriptionBody::from_subscription(&found, self.0.clock.read_now())))
    }

    /// Update a webhook subscription
    ///
    /// Absent fields stay unchanged; `null` clears the description. `status` `paused` stops it: events wait
    /// in the log. `active` resumes it with everything that has arrived meanwhile, and resets the count of
    /// deliveries given up. Requests under way when the url changes may still reach the old one.
    #[oai(
        path = "/v1/webhook_subscriptions/:subscription_id",
        method = "patch",
        operation_id = "updateWebhookSubscription"
    )]
    async fn update_subscription(
        &self,
        tenant: TenantCaller,
        /// The subscription.
        subscription_id: Path<SubscriptionId>,
        body: JsonBody<UpdateWebhookSubscription>,
    ) -> Result<DataResponse<WebhookSubscriptionBody>, OperationError<SubscriptionUpdateFails>> {
        let (subscribers, organisation) = (self.0.accounts.subscribers(), tenant.key.organisation_id);
        // With an unknown id the response is 404, whatever errors the body has.
        subscribers.find_subscription(organisation, subscription_id.0).ok_or_else(no_subscription)?;
        let patch = write::read_patch(&body.value, &self.0.outbound)?;
        let (own, id, origin) = (subscribers.clone(), subscription_id.0, tenant.origin());
        let patching = async move { own.patch_subscription(organisation, id, patch, &origin).await };
        let patched = self.0.accounts.run_to_end(patching).await.map_err(subscription_error)?;
        Ok(DataResponse(WebhookSubscriptionBody::from_subscription(&patched, self.0.clock.read_now())))
    }

    /// Delete a webhook subscription
    ///
    /// Nothing is sent to it any more, except requests under way. Its deliveries can still be listed until
    /// they are 30 days old; open ones become `dead`.
    #[oai(
        path = "/v1/webhook_subscriptions/:subscription_id",
        method = "delete",
        operation_id = "deleteWebhookSubscription"
    )]
    async fn delete_subscription(
        &self,
        tenant: TenantCaller,
        /// The subscription.
        subscription_id: Path<SubscriptionId>,
    ) -> Result<NoContentResponse, OperationError<SubscriptionDeleteFails>> {
        let subscribers = self.0.accounts.subscribers().clone();
        let (organisation, id, origin) = (tenant.key.organisation_id, subscription_id.0, tenant.origin());
        let deleting = async move { subscribers.delete_subscription(organisation, id, &origin).await };
        self.0.accounts.run_to_end(deleting).await.map_err(subscription_error)?;
        Ok(NoContentResponse)
    }

    /// Add a signing secret
    ///
    /// From now on every request is signed with it too; the older secrets expire after `expires_in_hours`.
    /// Add the new one to your receiver within that time. The secret is shown here and never again.
    #[oai(
        path = "/v1/webhook_subscriptions/:subscription_id/secrets",
        method = "post",
        operation_id = "createWebhookSecret"
    )]
    async fn create_secret(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The subscription.
        subscription_id: Path<SubscriptionId>,
        body: JsonBody<CreateWebhookSecret>,
    ) -> Result<IdempotentResponse<CreatedWebhookSecretBody, 201>, OperationError<SecretCreateFails>> {
        const FORM: ResponseFormat<write::WrittenSubscription> = ResponseFormat {
            status: StatusCode::CREATED,
            secrecy: Secrecy::Secret,
            show: |made| {
                let newest = made.secrets.last().ok_or_else(ApiError::internal_error)?;
                OpenEnvelope::from_value(&CreatedWebhookSecretBody::from_secret(newest))
            },
        };
        let (subscribers, organisation) = (self.0.accounts.subscribers().clone(), tenant.key.organisation_id);
        let (id, origin) = (subscription_id.0, tenant.origin());
        let work = |claim| {
            subscribers.find_subscription(organisation, id).ok_or_else(no_subscription)?;
            let older_for = write::read_older_for(&body.value)?;
            Ok(async move {
                let added = subscribers.add_signing_secret(organisation, id, older_for, &origin, claim);
                separate_failure(added.await)
            })
        };
        Ok(once_of(&self.0, &tenant, &call, &body.value, work, FORM).await?.into())
    }

    /// Replay a part of a log
    ///
    /// Sends the events of one number again, from `from_sequence` to `to_sequence`, as far as they are of the
    /// subscription's types: whatever their status, and those from before the subscription too. At most 1 000
    /// at a time; while `capped` is true, go on at `last_sequence` + 1. An event that was sent before keeps
    /// its delivery. Events that are not kept any more are refused with 410.
    #[oai(
        path = "/v1/webhook_subscriptions/:subscription_id/replay",
        method = "post",
        operation_id = "replayWebhookEvents"
    )]
    async fn replay_events(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The subscription.
        subscription_id: Path<SubscriptionId>,
        body: JsonBody<ReplayWebhookEvents>,
    ) -> Result<IdempotentResponse<ReplayedEventsBody, 200>, OperationError<LogReplayFails>> {
        const FORM: ResponseFormat<kabar_actors::ReplayedLog> = ResponseFormat {
            status: StatusCode::OK,
            secrecy: Secrecy::Open,
            show: |replayed| OpenEnvelope::from_value(&ReplayedEventsBody::from_replayed(*replayed)),
        };
        let dispatcher = self.0.accounts.dispatcher().clone();
        let (id, origin) = (subscription_id.0, tenant.origin());
        let work = |claim| {
            let subscribers = self.0.accounts.subscribers();
            subscribers.find_subscription(tenant.key.organisation_id, id).ok_or_else(no_subscription)?;
            let part = write::read_part(&body.value)?;
            let slot = self.0.find_account(&tenant, &part.phone_number_id)?;
            Ok(async move {
                let replayed = dispatcher.replay_log(id, &slot, (part.from, part.to), &origin, claim).await;
                match replayed {
                    Ok(replayed) => Ok(replayed.ok_or_else(no_subscription)),
                    // An error that the operation decides, not a failure of the server.
                    Err(expired @ AccountError::Expired { .. }) => {
                        Ok(Err(ApiError::from(expired).with_param("from_sequence")))
                    }
                    Err(error) => Err(error),
                }
            })
        };
        Ok(once_of(&self.0, &tenant, &call, &body.value, work, FORM).await?.into())
    }
}
