//! Body of a replay: begin, end and account.

use kabar_actors::ReplayFrom;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::time::TimeBound;
use poem_openapi::Object;
use poem_openapi::types::{Any, Example};
use serde_json::{Value, json};

use crate::app::AppState;
use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::error::ApiError;

/// Events to replay: from a number or from an instant, not both.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct ReplayRuns {
    /// The first event, by its number in its account's log.
    #[oai(validator(minimum(value = "1")))]
    pub(crate) from_sequence: Option<i64>,
    /// The first instant (RFC 3339).
    pub(crate) from_time: Option<String>,
    /// The last event: a number with `from_sequence`, an instant with `from_time`; to the end of the log when
    /// absent.
    pub(crate) to: Option<Any<Value>>,
    /// Account with the log, by WhatsApp's id of the number; all accounts of the plugin when absent.
    pub(crate) phone_number_id: Option<String>,
}

impl Example for ReplayRuns {
    fn example() -> Self {
        Self { from_sequence: Some(1042), from_time: None, to: Some(Any(json!(1453))), phone_number_id: None }
    }
}

/// Selection that a body asks for.
#[derive(Debug)]
pub(super) struct ReplaySelection {
    pub(super) from: ReplayFrom,
    pub(super) to: Option<ReplayFrom>,
    /// Row numbers of the accounts.
    pub(super) accounts: Vec<i64>,
}

const SEQUENCES: std::ops::RangeInclusive<i64> = 1..=i64::MAX;
const INSTANT: &str = "an instant in RFC 3339, such as 2026-06-19T11:00:00.000Z";

fn read_instant(fields: &BodyFields<'_>, key: &str) -> Result<Option<TimeBound>, FieldError> {
    fields.optional_word(key, INSTANT, TimeBound::parse)
}

/// Reads the begin and the end.
fn read_range(fields: &BodyFields<'_>) -> Result<(ReplayFrom, Option<ReplayFrom>), FieldError> {
    let sequence = fields.optional_integer("from_sequence", &SEQUENCES)?;
    match (sequence, read_instant(fields, "from_time")?) {
        (Some(_), Some(_)) => Err(fields.refused("from_time", "give from_sequence or from_time, not both")),
        (Some(number), None) => {
            let to = fields.optional_integer("to", &SEQUENCES)?;
            Ok((ReplayFrom::Sequence(number), to.map(ReplayFrom::Sequence)))
        }
        (None, Some(from)) => {
            let to = read_instant(fields, "to")?.map(TimeBound::strictly_after);
            Ok((ReplayFrom::Time(from.strictly_before()), to.map(ReplayFrom::Time)))
        }
        (None, None) => {
            let mut missing = FieldError::missing_field("from_sequence".to_owned());
            "give from_sequence or from_time".clone_into(&mut missing.message);
            Err(missing)
        }
    }
}

/// Reads the body.
pub(super) fn read_selection(
    app: &AppState,
    plugin: &Plugin,
    body: &Value,
) -> Result<ReplaySelection, ApiError> {
    let fields = BodyFields::of_body(body)?;
    let (from, to) = read_range(&fields)?;
    let named = fields.optional_word("phone_number_id", "6 to 20 digits", PhoneNumberId::parse)?;
    let heard = app.directory.accounts_of(plugin.organisation_id).into_iter();
    let heard: Vec<_> = heard
        .filter(|account| plugin.hears_event(&account.phone_number_id))
        .filter(|account| named.as_ref().is_none_or(|named| *named == account.phone_number_id))
        .collect();
    if named.is_some() && heard.is_empty() {
        return Err(ApiError::not_found("account that the plugin hears", "phone_number_id"));
    }
    if matches!(from, ReplayFrom::Sequence(_)) && heard.len() > 1 {
        let mut missing = FieldError::missing_field("phone_number_id".to_owned());
        "numbers count within one account's log: name the account with phone_number_id"
            .clone_into(&mut missing.message);
        return Err(missing.into());
    }
    Ok(ReplaySelection { from, to, accounts: heard.iter().map(|account| account.number).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::body_fields::FieldErrorKind;

    #[test]
    fn a_replay_begins_with_a_number_or_an_instant() {
        let of = |body: Value| read_range(&BodyFields::of_body(&body).unwrap());
        assert_eq!(
            of(json!({"from_sequence": 3, "to": 5})),
            Ok((ReplayFrom::Sequence(3), Some(ReplayFrom::Sequence(5))))
        );
        let noon = TimeBound::parse("2026-06-19T11:00:00Z").unwrap().strictly_after();
        let given = json!({"from_time": "2026-06-19T18:00:00+07:00"});
        assert_eq!(of(given), Ok((ReplayFrom::Time(noon), None)));
        assert_eq!(of(json!({})).unwrap_err().code, FieldErrorKind::MissingRequiredField);
        for wrong in [
            json!({"from_sequence": 0}),
            json!({"from_sequence": 1, "to": "2026-06-19T11:00:00Z"}),
            json!({"from_time": "noon"}),
            json!({"from_time": "2026-06-19T11:00:00Z", "to": 5}),
            json!({"from_sequence": 1, "from_time": "2026-06-19T11:00:00Z"}),
        ] {
            assert_eq!(of(wrong.clone()).unwrap_err().code, FieldErrorKind::InvalidFieldValue, "{wrong}");
        }
    }
}
