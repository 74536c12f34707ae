//! Bodies of deliveries, and of a replay of many.

use std::sync::Arc;

use kabar_actors::ReplayedDeliveries;
use kabar_core::domain::delivery::{Delivery, DeliveryAttempt, DeliveryStatus};
use kabar_core::domain::event::EventType;
use kabar_core::domain::page::DeliveryFilter;
use kabar_core::domain::time::{TimeBound, Timestamp};
use kabar_core::ids::{DeliveryId, EventId, OrganisationId, SubscriptionId};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::params::ParameterKind;
use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of a delivery to a webhook.
    WebhookDeliveryNoun = "webhook_delivery";
}

/// The delivery of one event to one subscription.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "WebhookDelivery", example)]
pub(crate) struct WebhookDeliveryBody {
    /// `wbd_…`; the same for every attempt, as in `X-Kirim-Delivery-Id`.
    pub(crate) id: TextValue<DeliveryId>,
    /// Always `webhook_delivery`.
    pub(crate) object: TextValue<WebhookDeliveryNoun>,
    /// The subscription.
    pub(crate) subscription_id: TextValue<SubscriptionId>,
    /// The event, as in `X-Kirim-Event-Id`.
    pub(crate) event_id: TextValue<EventId>,
    /// The event's type.
    pub(crate) event_type: TextValue<EventType>,
    /// `pending`: waits for its first attempt. `failed`: the last attempt failed, the next one is at
    /// `next_attempt_at`. `dead`: given up.
    pub(crate) status: TextValue<DeliveryStatus>,
    /// The last 32 attempts, the oldest first.
    pub(crate) attempts: Vec<AttemptBody>,
    /// Earliest time of the next attempt; null when there is no further attempt.
    pub(crate) next_attempt_at: Option<TextValue<Timestamp>>,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
}

/// One attempt.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "WebhookAttempt", example)]
pub(crate) struct AttemptBody {
    /// Start time.
    pub(crate) at: TextValue<Timestamp>,
    /// Status of the receiver's response; null when there was none.
    pub(crate) status_code: Option<u16>,
    /// Time that it took, in milliseconds.
    pub(crate) duration_ms: u32,
    /// Cause of the failure, for people; null when it succeeded.
    pub(crate) error: Option<TextValue<Arc<str>>>,
}

/// Filter of the deliveries to replay.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct BulkReplay {
    /// Deliveries to this subscription.
    pub(crate) subscription_id: TextValue<SubscriptionId>,
    /// Only deliveries with this status.
    pub(crate) status: Option<TextValue<DeliveryStatus>>,
    /// Only deliveries of events of this type.
    pub(crate) event_type: Option<TextValue<EventType>>,
    /// Only rows created after this instant.
    pub(crate) created_after: Option<TextValue<Timestamp>>,
    /// Only rows created before this instant.
    pub(crate) created_before: Option<TextValue<Timestamp>>,
}

/// Result of a replay of many.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "BulkReplayed", example)]
pub(crate) struct BulkReplayedBody {
    /// Number of deliveries that are sent again.
    pub(crate) enqueued: u64,
    /// `true` when there were more deliveries, which are not replayed.
    pub(crate) capped: bool,
}

impl AttemptBody {
    fn from_attempt(attempt: &DeliveryAttempt) -> Self {
        Self {
            at: TextValue(attempt.at),
            status_code: attempt.status_code,
            duration_ms: attempt.duration_ms,
            error: attempt.error.clone().map(TextValue),
        }
    }
}

impl WebhookDeliveryBody {
    /// Builds the body of a delivery.
    #[must_use]
    pub(crate) fn from_delivery(row: &Delivery) -> Self {
        Self {
            id: TextValue(row.id),
            object: TextValue(WebhookDeliveryNoun),
            subscription_id: TextValue(row.subscriber.for_webhook().unwrap_or(SubscriptionId::from_bits(0))),
            event_id: TextValue(row.event_id),
            event_type: TextValue(row.event_type),
            status: TextValue(row.status),
            attempts: row.attempts.iter().map(AttemptBody::from_attempt).collect(),
            next_attempt_at: row.next_attempt_at.map(|due| TextValue(due.to_row())),
            created_at: TextValue(row.created_at),
        }
    }
}

impl BulkReplayedBody {
    /// Builds the body of a replay's result.
    #[must_use]
    pub(crate) fn from_replayed(replayed: ReplayedDeliveries) -> Self {
        let ReplayedDeliveries { enqueued, capped } = replayed;
        Self { enqueued: u64::try_from(enqueued).unwrap_or(u64::MAX), capped }
    }
}

impl Example for WebhookDeliveryBody {
    fn example() -> Self {
        Self::from_delivery(&crate::spec::example_rows::example_delivery())
    }
}

impl Example for AttemptBody {
    fn example() -> Self {
        let attempt = DeliveryAttempt {
            at: crate::spec::example_rows::example_delivery().created_at,
            status_code: Some(503),
            duration_ms: 41,
            error: Some("the receiver answered 503".into()),
        };
        Self::from_attempt(&attempt)
    }
}

impl Example for BulkReplay {
    fn example() -> Self {
        Self {
            subscription_id: TextValue(crate::spec::example_rows::example_subscription().id),
            status: Some(TextValue(DeliveryStatus::Dead)),
            event_type: None,
            created_after: Some(TextValue(crate::spec::example_rows::example_subscription().created_at)),
            created_before: None,
        }
    }
}

impl Example for BulkReplayedBody {
    fn example() -> Self {
        Self::from_replayed(ReplayedDeliveries { enqueued: 24, capped: false })
    }
}

/// Reads the filter of a replay; the subscription is not looked up yet.
pub(super) fn read_filter(
    body: &Value,
    organisation_id: OrganisationId,
) -> Result<DeliveryFilter, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let subscription_id = fields.word("subscription_id", SubscriptionId::EXPECTED, SubscriptionId::read)?;
    let after = fields.optional_word("created_after", TimeBound::EXPECTED, TimeBound::read)?;
    let before = fields.optional_word("created_before", TimeBound::EXPECTED, TimeBound::read)?;
    Ok(DeliveryFilter {
        organisation_id,
        subscription_id: Some(subscription_id),
        status: fields.optional_word("status", DeliveryStatus::EXPECTED, DeliveryStatus::parse)?,
        event_type: fields.optional_word("event_type", EventType::EXPECTED, EventType::parse)?,
        created_after: after.map(TimeBound::strictly_after),
        created_before: before.map(TimeBound::strictly_before),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_names_its_subscription() {
        let read =
            |body: Value| read_filter(&body, OrganisationId::from_bits(1)).map_err(|error| error.param);
        let id = SubscriptionId::from_bits(7).to_string();
        let filter = read(json!({"subscription_id": id, "status": "dead", "event_type": null})).unwrap();
        assert_eq!(filter.subscription_id, Some(SubscriptionId::from_bits(7)));
        assert_eq!((filter.status, filter.event_type), (Some(DeliveryStatus::Dead), None));
        assert_eq!(read(json!({})), Err("subscription_id".to_owned()));
        for (key, value) in [
            ("status", "gone"),
            ("event_type", "message"),
            ("created_after", "today"),
            ("created_before", ""),
        ] {
            assert_eq!(read(json!({"subscription_id": id, key: value})), Err(key.to_owned()));
        }
    }
}
