//! Messages that hooks ask to send, checked by the rules of `POST …/messages`.

use kabar_core::domain::message_details::MessageSource;
use kabar_plugins::{DraftReader, DraftRefused, DraftedRequest};

use super::{SendBody, parse};
use crate::rest::body_fields::FieldError;

/// The rules of the API, for the plugin host.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageDrafts;

fn refuse_draft(error: FieldError) -> DraftRefused {
    DraftRefused {
        code: error.code.as_str().into(),
        message: error.message.into(),
        param: (!error.param.is_empty()).then(|| error.param.into()),
    }
}

impl DraftReader for MessageDrafts {
    fn read(&self, body: &str) -> Result<DraftedRequest, DraftRefused> {
        let json = serde_json::from_str(body).map_err(|error| {
            // serde_json's error names a position, and nothing of the body.
            refuse_draft(FieldError::invalid_body(&format!("the body is not JSON: {error}")))
        })?;
        match parse(&json, MessageSource::Hook).map_err(refuse_draft)? {
            SendBody::Send(outgoing) => Ok(DraftedRequest::Send(outgoing)),
            SendBody::MarkRead(mark) => Ok(DraftedRequest::MarkRead(mark)),
        }
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::read_receipt::ReadReceipt;

    use super::*;

    #[test]
    fn hooks_are_held_to_the_rules_of_the_api() {
        let read = |body: &str| MessageDrafts.read(body);
        let text =
            r#"{"messaging_product":"whatsapp","to":"+6281234567890","type":"text","text":{"body":"hi"}}"#;
        assert!(matches!(read(text), Ok(DraftedRequest::Send(outgoing))
                if outgoing.content.as_ref() == "hi" && outgoing.source == MessageSource::Hook));
        let seen = r#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.1"}"#;
        assert_eq!(
            read(seen),
            Ok(DraftedRequest::MarkRead(ReadReceipt { wamid: "wamid.1".into(), typing: false }))
        );
        let refused = read(&text.replace("\"hi\"", "\"\"")).unwrap_err();
        assert_eq!(
            (refused.code.as_ref(), refused.param.as_deref()),
            ("invalid_field_value", Some("text.body"))
        );
        assert_eq!(read("{").unwrap_err().code.as_ref(), "invalid_request");
    }
}
