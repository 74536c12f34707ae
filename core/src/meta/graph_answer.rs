//! Interpretation of Meta's response to a call. Pure.
//!
//! Invariants: only a response that Meta itself wrote refuses a message or says that it was not accepted.
//! Where an intermediary may have dropped Meta's response, the outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::errors;
use super::item_fields::read_wamid;
use crate::domain::message::MessageError;

/// Upper bound of a requested pause: a server that requests a longer one is called after this time.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Outcome of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphOutcome {
    /// WhatsApp accepted it under this id.
    Accepted {
        /// WhatsApp's id.
        wamid: Arc<str>,
    },
    /// WhatsApp refuses it for good.
    Refused(MessageError),
    /// WhatsApp did not accept it, and may accept it later.
    Transient {
        /// Reason.
        error: MessageError,
        /// Wait that WhatsApp requested; at most an hour.
        retry_after: Option<Duration>,
    },
    /// The request was sent and no readable response came back: WhatsApp may have the message.
    Unknown {
        /// Description of the failure.
        error: MessageError,
    },
}

/// A response as far as it was read.
#[derive(Debug)]
pub(super) struct GraphAnswer {
    /// HTTP status.
    pub(super) status: u16,
    /// `Retry-After`, unparsed.
    pub(super) retry_after: Option<String>,
    /// `None` when it broke off or was longer than allowed.
    pub(super) body: Option<Vec<u8>>,
}

impl GraphAnswer {
    fn parse_json(&self) -> Option<Value> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }

    /// Seconds only: Meta does not use the other form, a date.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.retry_after.as_deref()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
    }

    /// Returns the outcome of a send.
    pub(super) fn of_send(&self) -> GraphOutcome {
        let json = self.parse_json();
        if (200..300).contains(&self.status) {
            let wamid = read_wamid(json.as_ref().and_then(|json| json.pointer("/messages/0/id")));
            return match wamid {
                Some(wamid) => GraphOutcome::Accepted { wamid },
                None => GraphOutcome::Unknown { error: self.unreadable_answer() },
            };
        }
        match self.read_refusal(json.as_ref()) {
            // A gateway gave up on Meta, which may still have accepted the message.
            None if self.status >= 500 => GraphOutcome::Unknown { error: self.unreadable_answer() },
            refusal => refusal.unwrap_or_else(|| self.bare_refusal()).into(),
        }
    }

    /// Returns the outcome of a read receipt.
    pub(super) fn of_receipt(&self) -> Result<(), GraphRefusal> {
        if (200..300).contains(&self.status) {
            return Ok(());
        }
        Err(self.read_refusal(self.parse_json().as_ref()).unwrap_or_else(|| self.bare_refusal()))
    }

    /// Returns the error that Meta wrote, if it wrote one.
    fn read_refusal(&self, json: Option<&Value>) -> Option<GraphRefusal> {
        let error = json?.get("error").filter(|error| error.is_object())?;
        let error = errors::read_error(error);
        let transient = error.provider_code.is_some_and(errors::is_transient) || self.passing_refusal();
        Some(GraphRefusal { transient, retry_after: self.retry_after(), error })
    }

    /// Returns the refusal of a response without an error of Meta's, as proxies write them.
    fn bare_refusal(&self) -> GraphRefusal {
        GraphRefusal {
            transient: self.passing_refusal(),
            retry_after: self.retry_after(),
            error: self.unreadable_answer(),
        }
    }

    /// Returns `true` when the HTTP status alone says that a later call may succeed.
    fn passing_refusal(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..)
    }

    fn unreadable_answer(&self) -> MessageError {
        errors::message_error(
            None,
            &format!("WhatsApp's server answered HTTP {} without saying why", self.status),
        )
    }
}

/// A call that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphRefusal {
    pub(super) error: MessageError,
    pub(super) transient: bool,
    pub(super) retry_after: Option<Duration>,
}

impl From<GraphRefusal> for GraphOutcome {
    fn from(refusal: GraphRefusal) -> Self {
        let GraphRefusal { error, transient, retry_after } = refusal;
        if transient { Self::Transient { error, retry_after } } else { Self::Refused(error) }
    }
}
