//! Interpretation of Meta's response to a call. Pure.
//!
//! Invariants: only a response that Meta itself wrote refuses a message or says that it was not accepted.
//! Where an intermediary may have dropped Meta's response, the outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::item_fields::read_wamid;
use super::raw_members::replace_unstorable;
use super::{errors, parties};
use crate::domain::account::AccountProfile;
use crate::domain::identity::Party;
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
        /// Reason for which WhatsApp holds it back; `None` when it is sent.
        hold_reason: Option<Arc<str>>,
        /// The recipient, as the answer names them.
        recipient: Party,
    },
    /// WhatsApp refuses it for good.
    Refused(MessageError),
    /// WhatsApp refuses the account as such; it has not accepted the message.
    AccountRefused(MessageError),
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
    /// Reads the body, with what no database can hold replaced, as in a webhook: an answer of WhatsApp's is kept too.
    fn parse_json(&self) -> Option<Value> {
        serde_json::from_str(&replace_unstorable(self.body.as_deref()?)).ok()
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
                Some(wamid) => accepted(wamid, json.as_ref().unwrap_or(&Value::Null)),
                None => GraphOutcome::Unknown { error: self.unreadable_answer() },
            };
        }
        match self.read_refusal(json.as_ref()) {
            // A gateway gave up on Meta, which may still have accepted the message.
            None if self.status >= 500 => GraphOutcome::Unknown { error: self.unreadable_answer() },
            refusal => refusal.unwrap_or_else(|| self.bare_refusal()).into(),
        }
    }

    /// Returns the outcome of a look at the account's own number.
    pub(super) fn of_profile(&self) -> Result<AccountProfile, GraphRefusal> {
        let json = self.parse_json();
        match json.as_ref().filter(|_| (200..300).contains(&self.status)) {
            Some(json) => Ok(read_profile(json)),
            None => Err(self.read_refusal(json.as_ref()).unwrap_or_else(|| self.bare_refusal())),
        }
    }

    /// Returns the outcome of a read receipt.
    pub(super) fn of_receipt(&self) -> Result<(), GraphRefusal> {
        if (200..300).contains(&self.status) {
            return Ok(());
        }
        Err(self.read_refusal(self.parse_json().as_ref()).unwrap_or_else(|| self.bare_refusal()))
    }

    /// Returns the JSON of an answer to a call that is no send. A refusal has the text that Meta wrote for people.
    pub(super) fn of_call(&self) -> Result<Value, GraphRefusal> {
        let json = self.parse_json();
        if (200..300).contains(&self.status) {
            return json.ok_or_else(|| self.bare_refusal());
        }
        let mut refusal = self.read_refusal(json.as_ref()).unwrap_or_else(|| self.bare_refusal());
        let for_people = json.as_ref().and_then(|json| json.pointer("/error/error_user_msg")?.as_str());
        if let Some(text) = for_people.filter(|text| !text.trim().is_empty()) {
            refusal.error.message = errors::bound_message(text);
        }
        Err(refusal)
    }

    /// Returns the error that Meta wrote, if it wrote one.
    fn read_refusal(&self, json: Option<&Value>) -> Option<GraphRefusal> {
        let error = json?.get("error").filter(|error| error.is_object())?;
        let refuses_account = errors::refuses_account(error);
        let subcode = errors::read_subcode(error);
        let error = errors::read_error(error);
        let transient = error.provider_code.is_some_and(errors::is_transient) || self.passing_refusal();
        let transient = transient && !refuses_account;
        Some(GraphRefusal { transient, refuses_account, retry_after: self.retry_after(), subcode, error })
    }

    /// Returns the refusal of a response without an error of Meta's, as proxies write them.
    fn bare_refusal(&self) -> GraphRefusal {
        GraphRefusal {
            transient: self.passing_refusal(),
            refuses_account: self.status == 401,
            retry_after: self.retry_after(),
            subcode: None,
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
    pub(super) refuses_account: bool,
    pub(super) retry_after: Option<Duration>,
    pub(super) subcode: Option<i64>,
}

impl From<GraphRefusal> for GraphOutcome {
    fn from(refusal: GraphRefusal) -> Self {
        let GraphRefusal { error, transient, refuses_account, retry_after, .. } = refusal;
        if refuses_account {
            Self::AccountRefused(error)
        } else if transient {
            Self::Transient { error, retry_after }
        } else {
            Self::Refused(error)
        }
    }
}

/// Reads the acceptance of a message: whether it is held back, and how the recipient is named.
fn accepted(wamid: Arc<str>, json: &Value) -> GraphOutcome {
    let status = json.pointer("/messages/0/message_status").and_then(Value::as_str);
    let hold_reason = status.filter(|status| matches!(*status, "held_for_quality_assessment" | "paused"));
    let contact = json.pointer("/contacts/0").unwrap_or(&Value::Null);
    let mut recipient = parties::read_ids(contact, "wa_id", "user_id", "parent_user_id");
    recipient.wa_id = recipient.phone.take();
    let input = parties::read_ids(contact, "input", "", "");
    // An input that names a person by user id says nothing about a number.
    recipient.phone = input.phone;
    GraphOutcome::Accepted { wamid, hold_reason: hold_reason.map(Arc::from), recipient }
}

/// Reads Meta's words about a number.
fn read_profile(json: &Value) -> AccountProfile {
    let word =
        |name: &str| json.get(name).and_then(Value::as_str).filter(|word| word.len() <= 256).map(Arc::from);
    AccountProfile {
        waba_id: None,
        quality_rating: word("quality_rating"),
        messaging_limit_tier: word("whatsapp_business_manager_messaging_limit")
            .or_else(|| word("messaging_limit_tier")),
        verified_name: word("verified_name"),
        name_status: word("name_status"),
    }
}
