//! What the readers of all items share: WhatsApp's id, the time, words of statuses, and the reasons to skip an item.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::WAMID_BYTES_MAX;
use crate::domain::inbound::{InboundFact, RawRole};
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;

/// 2009-01-01, the year in which WhatsApp started: no message is older.
const FIRST_SECOND: i64 = 1_230_768_000;
/// A time of Meta's that is further ahead of our clock than this is not accepted.
const AHEAD_MAX: Duration = Duration::from_hours(24);

/// Reason for which a piece of a webhook was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SkipReason {
    /// Not of the expected shape, or beyond the limits of the parser.
    #[error("unreadable")]
    Unreadable,
    /// The number that it concerns is missing.
    #[error("no phone_number_id")]
    NoPhoneNumberId,
    /// No message id of WhatsApp's, or one that is too long.
    #[error("no usable message id")]
    NoWamid,
    /// Larger than the limit of one item.
    #[error("payload too large")]
    PayloadTooLarge,
    /// No account of this server is meant.
    #[error("not connected")]
    NotConnected,
}

impl SkipReason {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NoPhoneNumberId => "no_phone_number_id",
            Self::NoWamid => "no_message_id",
            Self::PayloadTooLarge => "payload_too_large",
            Self::NotConnected => "not_connected",
        }
    }
}

/// Returns the digest of an item's text: equal for equal items.
pub(super) fn digest_text(text: &str) -> [u8; 16] {
    let mut digest = [0; 16];
    for (to, from) in digest.iter_mut().zip(Sha256::digest(text.as_bytes())) {
        *to = from;
    }
    digest
}

/// Returns WhatsApp's message id, if the value is one.
pub(super) fn read_wamid(id: Option<&Value>) -> Option<Arc<str>> {
    let id = id?.as_str()?;
    (1..=WAMID_BYTES_MAX).contains(&id.len()).then(|| id.into())
}

/// Reads Unix seconds, as a string or a number; returns `received_at` when they are not a plausible time of a
/// message.
pub(super) fn read_time(seconds: Option<&Value>, received_at: Timestamp) -> Timestamp {
    let seconds = seconds.and_then(|value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()));
    match seconds {
        Some(seconds) if seconds >= FIRST_SECOND => {
            let at = Timestamp::from_seconds(seconds);
            if at > received_at.plus_duration(AHEAD_MAX) { received_at } else { at }
        }
        Some(_) | None => received_at,
    }
}

/// An item, and the message that its raw form is kept for.
pub(super) struct ReadItem {
    pub(super) fact: InboundFact,
    pub(super) wamid: Arc<str>,
    pub(super) role: RawRole,
    /// Contact card of the person that the item is about, as it came.
    pub(super) card: Option<Arc<str>>,
}

/// Reads the word of a status that changes a message.
pub(super) fn read_status_word(word: &str) -> Option<MessageStatus> {
    match word {
        "sent" => Some(MessageStatus::Sent),
        "delivered" => Some(MessageStatus::Delivered),
        "read" => Some(MessageStatus::Read),
        "played" => Some(MessageStatus::Played),
        "failed" => Some(MessageStatus::Failed),
        _ => None,
    }
}
