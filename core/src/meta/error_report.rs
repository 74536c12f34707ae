//! A delivery status of Meta's in the domain's words.
//!
//! Invariant: a status that changes no message (`deleted`, `warning`, words of the future) is reported as
//! unknown, never guessed.

use serde_json::{Map, Value};

use super::errors;
use super::item_fields::{SkipReason, read_time, read_wamid};
use crate::domain::message::StatusReport;
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;

pub(super) fn read_status(
    status: &Map<String, Value>,
    received_at: Timestamp,
) -> Result<StatusReport, SkipReason> {
    let wamid = read_wamid(status.get("id")).ok_or(SkipReason::NoWamid)?;
    let word = status.get("status").and_then(Value::as_str).unwrap_or_default();
    let moved_to = match word {
        "sent" => MessageStatus::Sent,
        "delivered" => MessageStatus::Delivered,
        // A voice message that was played has been read.
        "read" | "played" => MessageStatus::Read,
        "failed" => MessageStatus::Failed,
        _ => return Err(SkipReason::UnknownStatus),
    };
    let error = (moved_to == MessageStatus::Failed).then(|| {
        errors::read_error(status.get("errors").and_then(|errors| errors.get(0)).unwrap_or(&Value::Null))
    });
    // Sends by other systems carry other data there.
    let echo = status.get("biz_opaque_callback_data").and_then(Value::as_str);
    let echo = echo.and_then(|text| MessageId::parse(text).ok());
    Ok(StatusReport {
        wamid,
        echo,
        status: moved_to,
        at: read_time(status.get("timestamp"), received_at),
        error,
    })
}
