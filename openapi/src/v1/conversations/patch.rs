//! The body of a conversation's PATCH.

use std::sync::Arc;

use kabar_core::domain::command::ConversationPatch;
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::organisation::User;
use kabar_core::ids::{ConversationId, UserId};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldChange, FieldError};
use crate::rest::error::ApiError;

/// New status of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "ConversationStatus", rename_all = "lowercase")]
pub(crate) enum NewConversationStatus {
    /// Needs attention.
    Open,
    /// Waits for an event outside the conversation.
    Pending,
    /// Done.
    Resolved,
}

/// Changes of a conversation; at least one.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct UpdateConversation {
    /// The new status.
    pub(crate) status: Option<NewConversationStatus>,
    /// User to assign the conversation to (`usr_…`); null removes the assignee.
    #[oai(validator(pattern = "^usr_[0-9A-HJKMNP-TV-Z]{26}$"))]
    pub(crate) assigned_to: Option<String>,
}

impl Example for UpdateConversation {
    fn example() -> Self {
        Self { status: Some(NewConversationStatus::Resolved), assigned_to: None }
    }
}

/// Changes that a body asks for; the user is not looked up yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestedChanges {
    status: Option<ConversationStatus>,
    assigned_to: FieldChange<UserId>,
}

const USER_ID: &str = "the id of a user (usr_…), or null for nobody";

/// Reads the body.
pub(super) fn read_changes(body: &Value) -> Result<RequestedChanges, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let status = fields.optional_word("status", "open, pending or resolved", ConversationStatus::parse)?;
    let assigned_to = match body.get("assigned_to") {
        None => FieldChange::Keep,
        Some(Value::Null) => FieldChange::Clear,
        Some(_) => FieldChange::Set(fields.word("assigned_to", USER_ID, |text| UserId::parse(text).ok())?),
    };
    if status.is_none() && assigned_to == FieldChange::Keep {
        let mut missing = FieldError::missing_field("status".to_owned());
        "give status, assigned_to, or both".clone_into(&mut missing.message);
        return Err(missing);
    }
    Ok(RequestedChanges { status, assigned_to })
}

impl RequestedChanges {
    /// Builds the domain's patch, with the user that the organisation has under the id.
    pub(super) fn resolve_user(
        self,
        id: ConversationId,
        user: impl FnOnce(UserId) -> Option<Arc<User>>,
    ) -> Result<ConversationPatch, ApiError> {
        let found = |id| user(id).ok_or_else(|| ApiError::not_found("user", "assigned_to"));
        let assignee = match self.assigned_to {
            FieldChange::Keep => None,
            FieldChange::Clear => Some(None),
            FieldChange::Set(id) => Some(Some(found(id)?)),
        };
        Ok(ConversationPatch { id, status: self.status, assignee })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::body_fields::FieldErrorKind;
    use serde_json::json;

    #[test]
    fn at_least_one_field_is_given() {
        for body in [json!({}), json!({"status": null}), json!({"unknown": 1})] {
            assert_eq!(read_changes(&body).unwrap_err().code, FieldErrorKind::MissingRequiredField, "{body}");
        }
        for body in [json!({"status": "closed"}), json!({"assigned_to": "usr_1"}), json!({"assigned_to": 7})]
        {
            assert_eq!(read_changes(&body).unwrap_err().code, FieldErrorKind::InvalidFieldValue, "{body}");
        }
    }

    #[test]
    fn null_takes_the_assignee_off() {
        let id = ConversationId::from_bits(1);
        let patch = read_changes(&json!({"assigned_to": null})).unwrap().resolve_user(id, |_| None).unwrap();
        assert_eq!((patch.status, patch.assignee), (None, Some(None)));
        let unknown = read_changes(&json!({"assigned_to": "usr_00000000000000000000000001"})).unwrap();
        let refusal = unknown.resolve_user(id, |_| None).unwrap_err();
        assert_eq!(refusal.param(), Some("assigned_to"));
        let patch = read_changes(&json!({"status": "resolved"})).unwrap().resolve_user(id, |_| None).unwrap();
        assert_eq!((patch.status, patch.assignee), (Some(ConversationStatus::Resolved), None));
    }
}
