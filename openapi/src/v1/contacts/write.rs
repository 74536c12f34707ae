//! Bodies that create and change contacts.

use std::sync::Arc;

use kabar_core::domain::contact::{ContactPatch, NewContact, NewIdentifier};
use kabar_core::domain::identity::UserId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::params::ParameterKind as _;
use crate::rest::text::FreeObject;

const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=200;
const METADATA_KEYS: usize = 64;
const METADATA_BYTES: usize = 16 * 1024;
const METADATA: &str = "an object of at most 64 keys and 16 KiB";
const EMPTY: &str = "{}";

/// A contact to create: `phone_number` or `user_id`, not both.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct CreateContact {
    /// E.164, with or without `+`; unique in the account.
    pub(crate) phone_number: Option<String>,
    /// WhatsApp's id of the user, such as `ID.13491208655302741`; unique in the account.
    #[oai(validator(min_length = 4, max_length = 131))]
    pub(crate) user_id: Option<String>,
    /// The business's name for the contact.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) name: Option<String>,
    /// The email address.
    #[oai(validator(max_length = 254))]
    pub(crate) email: Option<String>,
    /// Fields of the business's own: at most 64 keys, at most 16 KiB.
    pub(crate) metadata: Option<FreeObject>,
}

/// Changes of a contact. Absent fields stay unchanged; null clears.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct UpdateContact {
    /// The business's name for the contact.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) name: Option<String>,
    /// The email address.
    #[oai(validator(max_length = 254))]
    pub(crate) email: Option<String>,
    /// Replaces all of the business's own fields: at most 64 keys, at most 16 KiB.
    pub(crate) metadata: Option<FreeObject>,
}

fn customer_number() -> FreeObject {
    FreeObject(r#"{"customer_number":"K-1042"}"#.into())
}

impl Example for CreateContact {
    fn example() -> Self {
        Self {
            phone_number: Some("+447700900123".to_owned()),
            user_id: None,
            name: Some("Sari Wijaya".to_owned()),
            email: Some("sari@example.com".to_owned()),
            metadata: Some(customer_number()),
        }
    }
}

impl Example for UpdateContact {
    fn example() -> Self {
        let name = Some("Sari Wijaya".to_owned());
        Self { name, email: Some("sari@example.com".to_owned()), metadata: Some(customer_number()) }
    }
}

/// Reads a new contact.
pub(super) fn read_new(body: &Value) -> Result<NewContact, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let identifier = read_identifier(&fields)?;
    let name = fields.optional_text("name", &NAME_CHARS)?.map(Into::into);
    let email = fields.optional_email("email")?;
    let metadata = fields.get("metadata").map(|value| read_metadata(&fields, value)).transpose()?;
    Ok(NewContact { identifier, name, email, metadata })
}

/// Reads the one identifier of a new contact.
fn read_identifier(fields: &BodyFields<'_>) -> Result<NewIdentifier, FieldError> {
    match (fields.get("phone_number"), fields.get("user_id")) {
        (Some(_), Some(_)) => Err(fields.refused("user_id", "give phone_number or user_id, not both")),
        (None, Some(_)) => fields.word("user_id", UserId::EXPECTED, UserId::parse).map(NewIdentifier::User),
        (Some(_), None) => fields.phone("phone_number").map(NewIdentifier::Phone),
        (None, None) => {
            let mut missing = FieldError::missing_field("phone_number".to_owned());
            "give phone_number or user_id".clone_into(&mut missing.message);
            Err(missing)
        }
    }
}

/// Reads the changes of a contact.
pub(super) fn read_patch(body: &Value) -> Result<ContactPatch, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let metadata = match body.get("metadata") {
        None => None,
        Some(Value::Null) => Some(EMPTY.into()),
        Some(value) => Some(read_metadata(&fields, value)?),
    };
    Ok(ContactPatch {
        name: fields.change_text("name", &NAME_CHARS)?.map(Into::into).touched(),
        email: fields.change_email("email")?.touched(),
        metadata,
    })
}

fn read_metadata(fields: &BodyFields<'_>, value: &Value) -> Result<Arc<str>, FieldError> {
    let members = value.as_object().filter(|members| members.len() <= METADATA_KEYS);
    let text = members.map(|_| value.to_string()).filter(|text| text.len() <= METADATA_BYTES);
    text.map(Into::into).ok_or_else(|| fields.invalid("metadata", METADATA))
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::phone::Phone;
    use serde_json::{Map, json};

    use super::*;
    use crate::rest::body_fields::FieldErrorKind;

    fn fault(body: &Value) -> (FieldErrorKind, String) {
        let error = read_new(body).unwrap_err();
        (error.code, error.param)
    }

    #[test]
    fn new_contacts_keep_their_limits() {
        let base = json!({"phone_number": "6281234567890"});
        let phone = Phone::parse("+6281234567890").unwrap();
        assert_eq!(read_new(&base).unwrap().identifier, NewIdentifier::Phone(phone));
        assert_eq!(fault(&json!({})), (FieldErrorKind::MissingRequiredField, "phone_number".into()));
        assert_eq!(
            fault(&json!({"phone_number": "12"})),
            (FieldErrorKind::InvalidPhoneNumber, "phone_number".into())
        );
        let big: Map<_, _> = (0..65).map(|n| (n.to_string(), Value::Null)).collect();
        let wrong = [
            ("name", json!("")),
            ("name", json!("x".repeat(201))),
            ("email", json!("nobody")),
            ("email", json!("a b@example.com")),
            ("email", json!("a@b..c")),
            ("email", json!(format!("{}@example.com", "x".repeat(250)))),
            ("metadata", json!([])),
            ("metadata", Value::Object(big)),
            ("metadata", json!({"a": "x".repeat(METADATA_BYTES)})),
        ];
        for (key, value) in wrong {
            let mut body = base.clone();
            body[key] = value;
            assert_eq!(fault(&body), (FieldErrorKind::InvalidFieldValue, key.into()), "{key}");
        }
        for email in ["a@b", "o'brien+x@mail.example.com"] {
            assert!(read_new(&json!({"phone_number": "6281234567890", "email": email})).is_ok(), "{email}");
        }
    }

    #[test]
    fn a_new_contact_has_one_identifier() {
        let user = UserId::parse("ID.13491208655302741").unwrap();
        let by_user = read_new(&json!({"user_id": user.as_str(), "phone_number": null})).unwrap();
        assert_eq!(by_user.identifier, NewIdentifier::User(user));
        for (body, code, param) in [
            (json!({"user_id": "6281234567890"}), FieldErrorKind::InvalidFieldValue, "user_id"),
            (json!({"user_id": 7}), FieldErrorKind::InvalidFieldValue, "user_id"),
            (
                json!({"user_id": "ID.1", "phone_number": "6281234567890"}),
                FieldErrorKind::InvalidFieldValue,
                "user_id",
            ),
            (json!({"user_id": null}), FieldErrorKind::MissingRequiredField, "phone_number"),
        ] {
            assert_eq!(fault(&body), (code, param.to_owned()), "{body}");
        }
    }

    #[test]
    fn patches_tell_absent_from_null() {
        assert_eq!(read_patch(&json!({})), Ok(ContactPatch::default()));
        let cleared = read_patch(&json!({"name": null, "email": null, "metadata": null})).unwrap();
        let expected = ContactPatch { name: Some(None), email: Some(None), metadata: Some("{}".into()) };
        assert_eq!(cleared, expected);
        let set = read_patch(&json!({"metadata": {"b": 1, "a": [2]}})).unwrap();
        assert_eq!(set.metadata.as_deref(), Some(r#"{"b":1,"a":[2]}"#));
    }
}
