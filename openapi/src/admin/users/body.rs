//! Body that creates a user.

use std::sync::Arc;

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};

const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

/// A user to create.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct CreateUser {
    /// The name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) name: String,
    /// The email address.
    #[oai(validator(max_length = 254))]
    pub(crate) email: Option<String>,
}

impl Example for CreateUser {
    fn example() -> Self {
        Self { name: "Rina Hartono".to_owned(), email: Some("rina@example.com".to_owned()) }
    }
}

/// Name and email address of a new user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewUser {
    pub(super) name: Arc<str>,
    pub(super) email: Option<Arc<str>>,
}

/// Reads `POST /admin/v1/organizations/{org_id}/users`.
pub(super) fn read_new(body: &Value) -> Result<NewUser, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let name = fields.text("name", &NAME_CHARS)?.into();
    let email = fields.optional_email("email")?;
    Ok(NewUser { name, email })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn users_have_a_name_and_perhaps_an_address() {
        let read = |body| read_new(&body).map_err(|error| error.param);
        assert_eq!(read(json!({"name": "Ayu"})), Ok(NewUser { name: "Ayu".into(), email: None }));
        assert!(read(json!({"name": "Ayu", "email": "ayu@example.com"})).is_ok());
        for email in ["ayu", "@example.com", "ayu@", "a yu@example.com", "ayu@example.com\n"] {
            assert_eq!(read(json!({"name": "Ayu", "email": email})), Err("email".to_owned()), "{email}");
        }
        assert_eq!(read(json!({"email": "ayu@example.com"})), Err("name".to_owned()));
    }
}
