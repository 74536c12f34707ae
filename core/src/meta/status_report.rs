//! A delivery status of Meta's in the domain's words.
//!
//! Invariant: a status that changes no message (`deleted`, `warning`, words of the future) is kept raw and
//! never guessed.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::errors;
use super::item_fields::{ReadItem, SkipReason, read_status_word, read_time, read_wamid};
use super::parties::{self, ContactCards};
use crate::domain::inbound::{InboundFact, RawRole, StatusReport};
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;

/// Reads an item of `statuses`.
pub(super) fn read_status(
    status: Map<String, Value>,
    cards: &ContactCards,
    received_at: Timestamp,
) -> Result<ReadItem, SkipReason> {
    let status = Value::Object(status);
    let wamid = read_wamid(status.get("id")).ok_or(SkipReason::NoWamid)?;
    let word = status.get("status").and_then(Value::as_str).unwrap_or_default();
    let Some(moved_to) = read_status_word(word) else {
        return Ok(ReadItem { fact: InboundFact::RawOnly, wamid, role: RawRole::Status, card: None });
    };
    let reason = status.pointer("/errors/0").filter(|_| moved_to == MessageStatus::Failed);
    let error =
        (moved_to == MessageStatus::Failed).then(|| errors::read_error(reason.unwrap_or(&Value::Null)));
    // Sends by other systems carry other data there.
    let echo = status.get("biz_opaque_callback_data").and_then(Value::as_str);
    let echo = echo.and_then(|text| MessageId::parse(text).ok());
    let carded = parties::read_recipient(&status).map(|party| cards.find_card(party, 1));
    let (recipient, card) = carded.map_or((None, None), |carded| (Some(carded.party), carded.card));
    let pricing = status.get("pricing").filter(|pricing| pricing.is_object());
    let report = StatusReport {
        wamid: wamid.clone(),
        echo,
        status: moved_to,
        at: read_time(status.get("timestamp"), received_at),
        error,
        refuses_account: reason.is_some_and(errors::refuses_account),
        recipient,
        pricing: pricing.map(|pricing| Arc::from(pricing.to_string())),
    };
    Ok(ReadItem { fact: InboundFact::Status(Box::new(report)), wamid, role: RawRole::Status, card })
}
