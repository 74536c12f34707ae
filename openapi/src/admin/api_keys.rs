//! Bodies of API keys. The secret is made elsewhere and shown once; nothing here sees it.

use std::sync::Arc;

use kabar_core::domain::time::{Bound, Timestamp};
use serde_json::Value;

use crate::body::{FieldError, Fields};

const LABEL_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

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
