//! Bodies that create and change webhook subscriptions.

use std::sync::Arc;
use std::time::Duration;

use kabar_actors::{NewSubscription, SubscriptionPatch};
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::event::{EventType, EventTypes};
use kabar_core::domain::principal::Principal;
use kabar_core::domain::subscription::{Subscription, SubscriptionStatus, WebhookFormat};
use kabar_core::outbound::OutboundClient;
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldChange, FieldError};
use crate::rest::error::{ApiError, ErrorCode};

const DESCRIPTION_CHARS: std::ops::RangeInclusive<usize> = 0..=500;
const OLDER_FOR_HOURS: std::ops::RangeInclusive<i64> = 0..=168;
const OLDER_FOR_HOURS_DEFAULT: i64 = 24;
const SEQUENCES: std::ops::RangeInclusive<i64> = 0..=i64::MAX;

/// A subscription that was written.
pub(super) type WrittenSubscription = Arc<Subscription>;

/// Reads a new subscription.
pub(super) fn read_new(
    body: &Value,
    outbound: &OutboundClient,
    created_by: Principal,
) -> Result<NewSubscription, ApiError> {
    let fields = BodyFields::of_body(body)?;
    let url = read_url(&fields, fields.required("url")?, outbound)?;
    fields.required("events")?;
    let events = read_events(&fields)?;
    let description = fields.optional_text("description", &DESCRIPTION_CHARS)?.map(Into::into);
    let format = read_format(&fields)?.unwrap_or_default();
    Ok(NewSubscription { url, events, format, description, created_by })
}

/// Reads the changes of a subscription.
pub(super) fn read_patch(body: &Value, outbound: &OutboundClient) -> Result<SubscriptionPatch, ApiError> {
    let fields = BodyFields::of_body(body)?;
    let url = fields.get("url").map(|value| read_url(&fields, value, outbound)).transpose()?;
    let events = fields.get("events").map(|_| read_events(&fields)).transpose()?;
    let description = fields.change_text("description", &DESCRIPTION_CHARS)?.map(Into::into);
    let status = fields.optional_word("status", "active or paused", |word| match word {
        "active" => Some(SubscriptionStatus::Active),
        "paused" => Some(SubscriptionStatus::Paused),
        _ => None,
    })?;
    let format = read_format(&fields)?;
    Ok(SubscriptionPatch { url, events, format, description: FieldChange::touched(description), status })
}

fn read_url(fields: &BodyFields<'_>, value: &Value, outbound: &OutboundClient) -> Result<Arc<str>, ApiError> {
    let text = value.as_str().ok_or_else(|| fields.invalid("url", "a text"))?;
    match outbound.target(text) {
        Ok(_fit) => Ok(text.into()),
        Err(refusal) => {
            Err(ApiError::new(ErrorCode::InvalidWebhookUrl, format!("url {refusal}")).with_param("url"))
        }
    }
}

fn read_format(fields: &BodyFields<'_>) -> Result<Option<WebhookFormat>, FieldError> {
    fields.optional_word("format", "kabar or meta", WebhookFormat::parse)
}

fn read_events(fields: &BodyFields<'_>) -> Result<EventTypes, FieldError> {
    let expected = "a type of events, such as message.received";
    let read = |(path, value): (String, &Value)| {
        let found = value.as_str().and_then(EventType::parse);
        found.ok_or_else(|| FieldError::invalid_value(path, expected))
    };
    fields.array("events", &(1..=EventType::ALL.len()))?.map(read).collect()
}

/// Reads the time for which older secrets stay in force.
pub(super) fn read_older_for(body: &Value) -> Result<Duration, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let hours = fields.optional_integer("expires_in_hours", &OLDER_FOR_HOURS)?;
    Ok(Duration::from_hours(hours.unwrap_or(OLDER_FOR_HOURS_DEFAULT).unsigned_abs()))
}

/// A part of an account's log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogRange {
    pub(super) phone_number_id: PhoneNumberId,
    pub(super) from: i64,
    pub(super) to: Option<i64>,
}

/// Reads the account and the range of a replay.
pub(super) fn read_part(body: &Value) -> Result<LogRange, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let phone_number_id = fields.word("phone_number_id", "6 to 20 digits", PhoneNumberId::parse)?;
    fields.required("from_sequence")?;
    let from = fields.optional_integer("from_sequence", &SEQUENCES)?.unwrap_or_default();
    let to = fields.optional_integer("to_sequence", &SEQUENCES)?;
    if to.is_some_and(|to| to < from) {
        return Err(fields.invalid("to_sequence", "from_sequence or more"));
    }
    Ok(LogRange { phone_number_id, from, to })
}

#[cfg(test)]
mod tests {
    use kabar_core::outbound::SystemResolver;
    use serde_json::json;

    use super::*;

    fn client() -> OutboundClient {
        OutboundClient::new(Arc::new(SystemResolver), false).unwrap()
    }

    fn refusal(body: &Value) -> (ErrorCode, Option<String>) {
        let error = read_new(body, &client(), Principal::SYSTEM).unwrap_err();
        (error.code(), error.param().map(str::to_owned))
    }

    #[test]
    fn a_new_subscription_has_an_address_and_types() {
        let body = json!({"url": "https://example.com/hook", "events": ["message.status", "message.status"]});
        let new = read_new(&body, &client(), Principal::SYSTEM).unwrap();
        assert_eq!(
            (&*new.url, new.events.iter().count(), new.description),
            ("https://example.com/hook", 1, None)
        );
        let at = |param: &str| Some(param.to_owned());
        for (body, code, param) in [
            (json!([]), ErrorCode::InvalidRequest, None),
            (json!({"events": ["message.status"]}), ErrorCode::MissingRequiredField, at("url")),
            (json!({"url": "https://example.com"}), ErrorCode::MissingRequiredField, at("events")),
            (json!({"url": 7, "events": ["message.status"]}), ErrorCode::InvalidFieldValue, at("url")),
            (json!({"url": "http://example.com", "events": []}), ErrorCode::InvalidWebhookUrl, at("url")),
            (json!({"url": "https://example.com", "events": []}), ErrorCode::InvalidFieldValue, at("events")),
            (
                json!({"url": "https://example.com", "events": ["message.status"], "format": "Meta"}),
                ErrorCode::InvalidFieldValue,
                at("format"),
            ),
            (
                json!({"url": "https://example.com", "events": ["message.status", "x"]}),
                ErrorCode::InvalidFieldValue,
                at("events[1]"),
            ),
            (
                json!({"url": "https://example.com", "events": ["message.status"], "description": "é".repeat(501)}),
                ErrorCode::InvalidFieldValue,
                at("description"),
            ),
        ] {
            assert_eq!(refusal(&body), (code, param), "{body}");
        }
    }

    #[test]
    fn a_change_touches_what_it_names() {
        let read = |body: Value| read_patch(&body, &client());
        let patch = read(json!({"format": "meta"})).unwrap();
        assert_eq!((patch.format, patch.description), (Some(WebhookFormat::Meta), None));
        let patch = read(json!({"description": null, "status": "paused"})).unwrap();
        assert_eq!((patch.url, patch.events, patch.description), (None, None, Some(None)));
        assert_eq!(patch.status, Some(SubscriptionStatus::Paused));
        let patch = read(json!({"url": null, "events": null, "status": null})).unwrap();
        assert!(patch.url.is_none() && patch.events.is_none() && patch.status.is_none());
        for body in [json!({"status": "disabled"}), json!({"events": []}), json!({"url": "https://10.0.0.1"})]
        {
            assert!(read(body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn older_secrets_stay_for_a_day_unless_told_otherwise() {
        let hours = |body: Value| read_older_for(&body).map(|time| time.as_secs() / 3600).ok();
        assert_eq!((hours(json!({})), hours(json!({"expires_in_hours": 0}))), (Some(24), Some(0)));
        assert_eq!(hours(json!({"expires_in_hours": 168})), Some(168));
        for hour in [json!(169), json!(-1), json!(1.5), json!("1")] {
            assert_eq!(hours(json!({"expires_in_hours": hour})), None, "{hour}");
        }
    }

    #[test]
    fn a_part_of_a_log_ends_where_it_begins_or_later() {
        let read = |body: Value| read_part(&body).map_err(|error| error.param);
        let id = "106540352242922";
        let part = read(json!({"phone_number_id": id, "from_sequence": 7, "to_sequence": 7})).unwrap();
        assert_eq!((part.from, part.to), (7, Some(7)));
        assert_eq!(read(json!({"phone_number_id": id})), Err("from_sequence".to_owned()));
        assert_eq!(read(json!({"from_sequence": 1})), Err("phone_number_id".to_owned()));
        let backwards = json!({"phone_number_id": id, "from_sequence": 7, "to_sequence": 6});
        assert_eq!(read(backwards), Err("to_sequence".to_owned()));
    }
}
