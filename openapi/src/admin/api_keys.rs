//! API keys as the operator makes and sees them.
//!
//! Invariant: the secret is shown in the answer that makes the key, and nowhere else.

use std::sync::Arc;

use kabar_core::domain::organisation::ApiKey;
use kabar_core::domain::time::{Bound, Timestamp};
use poem_openapi::Object;
use serde_json::Value;

use crate::body::{FieldError, Fields};

const LABEL_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

/// A key to be made.
#[derive(Debug, Clone, Object)]
pub struct CreateApiKeyBody {
    /// What to call it.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub label: String,
    /// RFC 3339, in the future; from then on the key answers 401 `expired_api_key`. Never, unless
    /// given.
    pub expires_at: Option<String>,
}

/// A key, without its secret.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ApiKey")]
pub struct ApiKeyBody {
    /// `key_…`.
    pub id: String,
    /// Always `api_key`.
    pub object: String,
    /// What it is called.
    pub label: String,
    /// The last four characters of its secret.
    pub last4: String,
    /// From then on it answers 401 `expired_api_key`.
    pub expires_at: Option<String>,
    /// When it was made.
    pub created_at: String,
}

/// A key that was just made, with its secret.
#[derive(Clone, Object)]
#[oai(rename = "CreatedApiKey")]
pub struct CreatedApiKeyBody {
    /// `key_…`.
    pub id: String,
    /// Always `api_key`.
    pub object: String,
    /// What it is called.
    pub label: String,
    /// The last four characters of its secret.
    pub last4: String,
    /// The secret, shown here and never again: `Authorization: Bearer <key>`.
    pub key: String,
    /// From then on it answers 401 `expired_api_key`.
    pub expires_at: Option<String>,
    /// When it was made.
    pub created_at: String,
}

impl From<&ApiKey> for ApiKeyBody {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            object: "api_key".to_owned(),
            label: key.label.to_string(),
            last4: key.last4.to_string(),
            expires_at: key.expires_at.map(|at| at.to_string()),
            created_at: key.created_at.to_string(),
        }
    }
}

impl CreatedApiKeyBody {
    /// A key with the secret that opens it.
    #[must_use]
    pub fn of(key: &ApiKey, secret: String) -> Self {
        let ApiKeyBody { id, object, label, last4, expires_at, created_at } = key.into();
        Self { id, object, label, last4, key: secret, expires_at, created_at }
    }
}

/// What a new key is called, and until when it opens anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewApiKey {
    pub(super) label: Arc<str>,
    pub(super) expires_at: Option<Timestamp>,
}

/// Reads `POST /admin/v1/organizations/{org_id}/api_keys`.
pub(super) fn read_new(body: &Value, now: Timestamp) -> Result<NewApiKey, FieldError> {
    let fields = Fields::of_body(body)?;
    let label = fields.text("label", &LABEL_CHARS)?.into();
    let future = |text: &str| Bound::parse(text).map(Bound::strictly_after).filter(|at| *at > now);
    let expires_at = fields.optional_word("expires_at", "an RFC 3339 time in the future", future)?;
    Ok(NewApiKey { label, expires_at })
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
