//! Bodies of operator tokens: creation, and the list.
//!
//! Invariant: the secret is shown in the response that creates the token, and nowhere else.

use std::sync::Arc;

use kabar_actors::NewOperatorToken;
use kabar_core::domain::operator_token::OperatorToken;
use kabar_core::domain::scopes::OperatorScope;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OperatorTokenId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde_json::Value;

use crate::admin::{read_expiry, read_scopes};
use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::principal::PrincipalBody;
use crate::rest::text::{TextValue, nouns};

const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=200;
const SCOPES: &str = "at least one of read, manage and secrets, each once";

nouns! {
    /// `object` of an operator token.
    OperatorTokenNoun = "operator_token";
}

/// A token to create.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct CreateOperatorToken {
    /// Name of the person or program that gets it.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) name: String,
    /// Operations that it admits to: at least one of `read`, `manage` and `secrets`.
    pub(crate) scopes: Vec<String>,
    /// A future instant; from then on the token is refused with 401 `expired_api_key`. The token never expires
    /// when absent.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
}

/// A token, without its secret.
#[derive(Debug, Clone, Object)]
#[oai(rename = "OperatorToken", example)]
pub(crate) struct OperatorTokenBody {
    /// `opt_…`.
    pub(crate) id: TextValue<OperatorTokenId>,
    /// Always `operator_token`.
    pub(crate) object: TextValue<OperatorTokenNoun>,
    /// Name.
    pub(crate) name: TextValue<Arc<str>>,
    /// The last four characters of its secret.
    pub(crate) last4: TextValue<Arc<str>>,
    /// Operations that it admits to.
    pub(crate) scopes: Vec<TextValue<OperatorScope>>,
    /// Expiry; from then on the token is refused with 401 `expired_api_key`.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
    /// Last use, exact to two minutes; null while it was never used.
    pub(crate) last_used_at: Option<TextValue<Timestamp>>,
    /// The operator that made it; without id and name for the token of the settings.
    pub(crate) created_by: PrincipalBody,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
}

/// A token that was just made, with its secret.
#[derive(Clone, Object)]
#[oai(rename = "CreatedOperatorToken", example)]
pub(crate) struct CreatedOperatorTokenBody {
    /// `opt_…`.
    pub(crate) id: TextValue<OperatorTokenId>,
    /// Always `operator_token`.
    pub(crate) object: TextValue<OperatorTokenNoun>,
    /// Name.
    pub(crate) name: TextValue<Arc<str>>,
    /// The last four characters of its secret.
    pub(crate) last4: TextValue<Arc<str>>,
    /// The secret, shown here and never again: send it as `Authorization: Bearer <token>`.
    pub(crate) token: String,
    /// Operations that it admits to.
    pub(crate) scopes: Vec<TextValue<OperatorScope>>,
    /// Expiry; from then on the token is refused with 401 `expired_api_key`.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
    /// The operator that made it; without id and name for the token of the settings.
    pub(crate) created_by: PrincipalBody,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
}

impl OperatorTokenBody {
    /// Builds the body of a token.
    #[must_use]
    pub(crate) fn from_token(token: &OperatorToken, last_used_at: Option<Timestamp>) -> Self {
        Self {
            id: TextValue(token.id),
            object: TextValue(OperatorTokenNoun),
            name: TextValue(token.name.clone()),
            last4: TextValue(token.last4.clone()),
            scopes: token.scopes.iter().map(TextValue).collect(),
            expires_at: token.expires_at.map(TextValue),
            last_used_at: last_used_at.map(TextValue),
            created_by: PrincipalBody::from_principal(&token.created_by),
            created_at: TextValue(token.created_at),
        }
    }
}

impl CreatedOperatorTokenBody {
    /// Builds the body of a new token, with its secret.
    #[must_use]
    pub(crate) fn from_token(token: &OperatorToken, secret: String) -> Self {
        let shown = OperatorTokenBody::from_token(token, None);
        let OperatorTokenBody { id, object, name, last4, scopes, expires_at, created_by, created_at, .. } =
            shown;
        Self { id, object, name, last4, token: secret, scopes, expires_at, created_by, created_at }
    }
}

impl Example for CreateOperatorToken {
    fn example() -> Self {
        let scopes = vec!["read".to_owned(), "manage".to_owned()];
        Self { name: "Rani".to_owned(), scopes, expires_at: None }
    }
}

impl Example for OperatorTokenBody {
    fn example() -> Self {
        let token = crate::spec::credential_rows::operator_token();
        Self::from_token(&token, Some(token.created_at))
    }
}

impl Example for CreatedOperatorTokenBody {
    fn example() -> Self {
        // Written in two halves, so that secret scanners do not report it.
        Self::from_token(
            &crate::spec::credential_rows::operator_token(),
            ["kdv_op_", "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCw4Rt"].concat(),
        )
    }
}

/// Reads `POST /admin/v1/operator_tokens`.
pub(super) fn read_new(body: &Value, now: Timestamp) -> Result<NewOperatorToken, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let name = fields.text("name", &NAME_CHARS)?.into();
    fields.required("scopes")?;
    let scopes = read_scopes(&fields, SCOPES, OperatorScope::parse)?;
    let scopes = scopes.ok_or_else(|| fields.invalid("scopes", SCOPES))?;
    Ok(NewOperatorToken { name, scopes, expires_at: read_expiry(&fields, now)? })
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::scopes::OperatorScopes;
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_name_their_scopes() {
        let read =
            |body| read_new(&body, Timestamp::EPOCH).map(|new| new.scopes).map_err(|error| error.param);
        let some = OperatorScopes::NONE.with(OperatorScope::Read).with(OperatorScope::Secrets);
        assert_eq!(read(json!({"name": "ci", "scopes": ["secrets", "read"]})), Ok(some));
        for wrong in
            [json!([]), json!("read"), json!(["write"]), json!(["read", "read"]), json!([1]), json!(null)]
        {
            assert_eq!(read(json!({"name": "ci", "scopes": wrong})), Err("scopes".to_owned()), "{wrong}");
        }
        assert_eq!(read(json!({"name": "", "scopes": ["read"]})), Err("name".to_owned()));
    }
}
