//! Bodies of API keys: creation, and the operator's view.
//!
//! Invariant: the secret is shown in the response that creates the key, and nowhere else.

use std::sync::Arc;

use kabar_actors::NewApiKey;
use kabar_core::domain::organisation::ApiKey;
use kabar_core::domain::scopes::{KeyScope, KeyScopes};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::ApiKeyId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde_json::Value;

use crate::admin::{read_expiry, read_scopes};
use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::principal::PrincipalBody;
use crate::rest::text::TextValue;
use crate::v1::me::body::ApiKeyNoun;

const LABEL_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

/// A key to create.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct CreateApiKey {
    /// Display name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) label: String,
    /// Operations that it admits to: at least one of `read`, `write`, `plugins` and `webhooks`; all of them when
    /// absent.
    pub(crate) scopes: Option<Vec<String>>,
    /// A future instant; from then on the key is refused with 401 `expired_api_key`. The key never expires
    /// when absent.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
}

/// A key, without its secret.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ApiKey", example)]
pub(crate) struct ApiKeyBody {
    /// `key_…`.
    pub(crate) id: TextValue<ApiKeyId>,
    /// Always `api_key`.
    pub(crate) object: TextValue<ApiKeyNoun>,
    /// Display name.
    pub(crate) label: TextValue<Arc<str>>,
    /// The last four characters of its secret.
    pub(crate) last4: TextValue<Arc<str>>,
    /// Operations that it admits to.
    pub(crate) scopes: Vec<TextValue<KeyScope>>,
    /// Expiry; from then on the key is refused with 401 `expired_api_key`.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
    /// Last use, exact to two minutes; null while it was never used.
    pub(crate) last_used_at: Option<TextValue<Timestamp>>,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
}

/// A key that was just made, with its secret.
#[derive(Clone, Object)]
#[oai(rename = "CreatedApiKey", example)]
pub(crate) struct CreatedApiKeyBody {
    /// `key_…`.
    pub(crate) id: TextValue<ApiKeyId>,
    /// Always `api_key`.
    pub(crate) object: TextValue<ApiKeyNoun>,
    /// Display name.
    pub(crate) label: TextValue<Arc<str>>,
    /// The last four characters of its secret.
    pub(crate) last4: TextValue<Arc<str>>,
    /// The secret, shown here and never again: send it as `Authorization: Bearer <key>`.
    pub(crate) key: String,
    /// Operations that it admits to.
    pub(crate) scopes: Vec<TextValue<KeyScope>>,
    /// Expiry; from then on the key is refused with 401 `expired_api_key`.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
}

impl ApiKeyBody {
    /// Builds the body of a key.
    #[must_use]
    pub(crate) fn from_key(key: &ApiKey, last_used_at: Option<Timestamp>) -> Self {
        Self {
            id: TextValue(key.id),
            object: TextValue(ApiKeyNoun),
            label: TextValue(key.label.clone()),
            last4: TextValue(key.last4.clone()),
            scopes: key.scopes.iter().map(TextValue).collect(),
            expires_at: key.expires_at.map(TextValue),
            last_used_at: last_used_at.map(TextValue),
            created_at: TextValue(key.created_at),
            created_by: PrincipalBody::from_principal(&key.created_by),
        }
    }
}

impl CreatedApiKeyBody {
    /// Builds the body of a new key, with its secret.
    #[must_use]
    pub(crate) fn from_key(key: &ApiKey, secret: String) -> Self {
        let shown = ApiKeyBody::from_key(key, None);
        let ApiKeyBody { id, object, label, last4, scopes, expires_at, created_at, created_by, .. } = shown;
        Self { id, object, label, last4, key: secret, scopes, expires_at, created_at, created_by }
    }
}

impl Example for CreateApiKey {
    fn example() -> Self {
        let scopes = Some(vec!["read".to_owned(), "write".to_owned()]);
        Self { label: "inbox sync".to_owned(), scopes, expires_at: None }
    }
}

impl Example for ApiKeyBody {
    fn example() -> Self {
        let key = crate::spec::example_rows::api_key();
        Self::from_key(&key, Some(key.created_at))
    }
}

impl Example for CreatedApiKeyBody {
    fn example() -> Self {
        // Written in two halves, so that secret scanners do not report it.
        Self::from_key(
            &crate::spec::example_rows::api_key(),
            ["kdv_live_", "AbCdEfGhIjKlMnOpQrStx7Qd"].concat(),
        )
    }
}

/// Reads `POST /admin/v1/organizations/{org_id}/api_keys`.
pub(super) fn read_new(body: &Value, now: Timestamp) -> Result<NewApiKey, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let label = fields.text("label", &LABEL_CHARS)?.into();
    let expires_at = read_expiry(&fields, now)?;
    let scopes = read_scopes(
        &fields,
        "at least one of read, write, plugins and webhooks, each once",
        KeyScope::parse,
    )?;
    Ok(NewApiKey { label, scopes: scopes.unwrap_or(KeyScopes::ALL), expires_at })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_expire_in_the_future_or_never() {
        let now = Timestamp::from_millis(1_781_866_800_000);
        let read = |body| read_new(&body, now).map(|new| new.expires_at).map_err(|error| error.param);
        assert_eq!(read(json!({"label": "ci"})), Ok(None));
        assert_eq!(read(json!({"label": "ci", "expires_at": null})), Ok(None));
        assert_eq!(
            read(json!({"label": "ci", "expires_at": "2026-06-19T18:00:01+07:00"})),
            Ok(Some(Timestamp::from_millis(1_781_866_801_000)))
        );
        for at in [json!("2026-06-19T11:00:00Z"), json!("tomorrow"), json!(1_781_866_801)] {
            assert_eq!(read(json!({"label": "ci", "expires_at": at})), Err("expires_at".to_owned()));
        }
        assert_eq!(read(json!({"label": "é".repeat(201)})), Err("label".to_owned()));
        assert_eq!(read(json!({})), Err("label".to_owned()));
    }
}
