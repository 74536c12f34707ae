//! The recipient of a message: a person by number or user id, or a group.

use kabar_core::domain::address::Address;
use kabar_core::domain::identity::{GroupId, UserId};
use kabar_core::domain::phone::Phone;

use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::params::ParameterKind as _;

/// Kind of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecipientKind {
    Individual,
    Group,
}

fn parse_kind(text: &str) -> Option<RecipientKind> {
    match text {
        "individual" => Some(RecipientKind::Individual),
        "group" => Some(RecipientKind::Group),
        _ => None,
    }
}

/// Reads `to`, or `recipient` where there is no `to`.
pub(super) fn read_recipient(fields: &BodyFields<'_>) -> Result<Address, FieldError> {
    let kind = fields.optional_word("recipient_type", "individual or group", parse_kind)?;
    if kind == Some(RecipientKind::Group) {
        return fields.word("to", "the id of a group", GroupId::parse).map(Address::Group);
    }
    if fields.get("to").is_none() && fields.get("recipient").is_some() {
        return fields.word("recipient", UserId::EXPECTED, UserId::parse).map(Address::User);
    }
    let to = fields.required("to")?.as_str();
    let number = to.and_then(Phone::parse).map(Address::Phone);
    let address = number.or_else(|| to.and_then(UserId::parse).map(Address::User));
    address.ok_or_else(|| FieldError::invalid_phone(fields.path_of("to")))
}
