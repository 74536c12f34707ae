//! Everything that WhatsApp sent about one message, as it came.

use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::inbound::RawRole;
use kabar_core::domain::message::Message;
use kabar_core::domain::wamid::wamid_key;
use kabar_core::ids::MessageId;
use kabar_core::store::{Store, StoreError};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use crate::rest::text::FreeObject;

/// Items that WhatsApp sent about one message, as they came.
#[derive(Debug, Clone, Default, Serialize, Object)]
#[oai(rename = "RawMessage", example)]
pub(crate) struct RawMessageBody {
    /// The message itself; null when WhatsApp did not send it, when it is kept no longer, and when it was taken
    /// back.
    message: Option<FreeObject>,
    /// Its statuses, the oldest first.
    statuses: Vec<FreeObject>,
    /// Edits, revocations, reactions and system items about it, the oldest first.
    changes: Vec<FreeObject>,
}

impl RawMessageBody {
    /// Builds the body of these items, which are in the order in which they came.
    pub(crate) fn from_items(items: Vec<(RawRole, Arc<str>)>) -> Self {
        let mut body = Self::default();
        for (role, item) in items {
            let item = FreeObject(item);
            match role {
                // A placeholder of the history comes before the message that fills it.
                RawRole::Message => body.message = Some(item),
                RawRole::Status => body.statuses.push(item),
                RawRole::Change => body.changes.push(item),
            }
        }
        body
    }
}

impl Example for RawMessageBody {
    fn example() -> Self {
        let status = r#"{"id":"wamid.HBgMNDQ3NzAwOTAwMTIzFQIAERgSMUE2QjI0","status":"delivered","timestamp":"1781866802","recipient_id":"447700900123"}"#;
        Self::from_items(vec![(RawRole::Status, status.into())])
    }
}

/// Reads what is kept about a message of this account; `None` when there is no such message.
pub(super) async fn read_items(
    store: &Store,
    account: &Account,
    id: MessageId,
) -> Result<Option<RawMessageBody>, StoreError> {
    let Some(message) = store.find_message(account.number, id).await? else { return Ok(None) };
    if store.find_conversation(account.number, message.conversation_id).await?.is_none() {
        // It was deleted, and its messages are being erased.
        return Ok(None);
    }
    let Message { wamid: Some(wamid), .. } = &*message else { return Ok(Some(RawMessageBody::default())) };
    let items = store.raw_items_of(account.number, &wamid_key(wamid)).await?;
    Ok(Some(RawMessageBody::from_items(items)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_told_apart_by_role_and_keep_their_bytes() {
        let item = |role, text: &str| (role, Arc::from(text));
        let body = RawMessageBody::from_items(vec![
            item(RawRole::Status, r#"{"status":"sent"}"#),
            item(RawRole::Message, r#"{"type":"media_placeholder"}"#),
            item(RawRole::Change, r#"{"type":"edit"}"#),
            item(RawRole::Message, r#"{"b":1.50,"a":"\u00e9"}"#),
            item(RawRole::Status, r#"{"status":"read"}"#),
        ]);
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"message":{"b":1.50,"a":"\u00e9"},"statuses":[{"status":"sent"},{"status":"read"}],"changes":[{"type":"edit"}]}"#
        );
        let nothing = serde_json::to_string(&RawMessageBody::default()).unwrap();
        assert_eq!(nothing, r#"{"message":null,"statuses":[],"changes":[]}"#);
    }
}
