//! Events for subscriptions in Meta's form that Meta has no form for: the envelope of the log, with the members that
//! Kirimdev's events have besides.
//!
//! Invariant: members are only added, so a reader of either shape finds its own.

use bytes::Bytes;
use kabar_core::domain::account::Account;
use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::event::{Event, EventKind};
use kabar_core::domain::message::Message;
use serde_json::{Map, Value, json};

use super::EventBody;

/// Returns an event as JSON, on one line.
#[must_use]
pub(crate) fn kirimdev_bytes_of(account: &Account, event: &Event) -> Bytes {
    // Texts, numbers and lists of such, which serde always writes.
    let mut body = serde_json::to_value(EventBody::from_event(account, event)).unwrap_or_default();
    if let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) {
        match &event.kind {
            EventKind::MessageSent(message) => add_sent(data, account, event, message),
            EventKind::ConversationAssigned(conversation) => add_assignee(data, conversation),
            EventKind::ConversationClosed(_) => {
                if let Some(conversation) = data.get_mut("conversation").and_then(Value::as_object_mut) {
                    conversation.insert("closed_by_user_id".to_owned(), Value::Null);
                }
            }
            EventKind::MessageReceived(_)
            | EventKind::MessageCreated(_)
            | EventKind::MessageStatus { .. }
            | EventKind::MessageStatusReported { .. }
            | EventKind::MessageEdited { .. }
            | EventKind::MessageRevoked(_)
            | EventKind::ConversationCreated(_)
            | EventKind::ConversationUpdated(_)
            | EventKind::ConversationMerged(_)
            | EventKind::ContactCreated(_)
            | EventKind::ContactUpdated(_)
            | EventKind::ContactIdentityUpdated { .. }
            | EventKind::ContactDeleted(_)
            | EventKind::ConversationDeleted { .. }
            | EventKind::Erased(_)
            | EventKind::AccountUpdated(_)
            | EventKind::TemplateCreated(_)
            | EventKind::TemplateUpdated(_)
            | EventKind::TemplateDeleted { .. }
            | EventKind::WhatsAppField(_) => {}
        }
    }
    serde_json::to_vec(&body).unwrap_or_default().into()
}

/// Adds what `message.sent` has: the number that sent, the contact, WhatsApp's id and the text.
fn add_sent(data: &mut Map<String, Value>, account: &Account, event: &Event, message: &Message) {
    if let Some(shown) = data.get_mut("message").and_then(Value::as_object_mut) {
        shown.insert("provider_id".to_owned(), json!(message.wamid.as_deref()));
        shown.insert("body".to_owned(), json!(&*message.content));
    }
    let number_id = account.phone_number_id.as_str();
    data.insert("session".to_owned(), json!(number_id));
    let phone_number = message.to.phone().map(kabar_core::domain::phone::Phone::as_str);
    data.insert("contact".to_owned(), json!({"phone_number": phone_number}));
    data.insert("timestamp".to_owned(), json!(event.created_at.to_string()));
    data.insert("meta".to_owned(), json!({"phone_number_id": number_id}));
}

/// Adds what `conversation.assigned` has: the assignee. Who it was before is not known.
fn add_assignee(data: &mut Map<String, Value>, conversation: &Conversation) {
    let user_id = conversation.assignee.as_ref().map(|user| user.id.to_string());
    let assignee = json!({"user_id": user_id, "team_id": null, "previous_user_id": null});
    data.insert("assignee".to_owned(), assignee);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::example_rows;

    fn told(kind: EventKind) -> (Value, Value) {
        let account = example_rows::example_account();
        let event = Event { kind, ..example_rows::example_event() };
        let read = |bytes: Bytes| serde_json::from_slice(&bytes).unwrap();
        (read(kirimdev_bytes_of(&account, &event)), read(super::super::bytes_of(&account, &event)))
    }

    #[test]
    fn a_sent_message_has_the_members_of_both_shapes() {
        let message = example_rows::example_message();
        let (mut body, own) = told(EventKind::MessageSent(message.clone()));
        let data = &body["data"];
        assert_eq!(
            (&data["session"], &data["meta"]["phone_number_id"]),
            (&json!("106540352242922"), &data["session"])
        );
        assert_eq!(data["contact"]["phone_number"], message.to.as_str());
        assert_eq!(data["timestamp"], body["created_at"]);
        assert_eq!(data["message"]["provider_id"], message.wamid.as_deref().unwrap());
        assert_eq!(data["message"]["body"], &*message.content);
        let data = body["data"].as_object_mut().unwrap();
        for added in ["session", "contact", "timestamp", "meta"] {
            data.remove(added);
        }
        for added in ["provider_id", "body"] {
            data["message"].as_object_mut().unwrap().remove(added);
        }
        assert_eq!(body, own);
    }

    #[test]
    fn an_assignment_names_the_assignee_and_others_are_as_in_the_log() {
        let conversation = example_rows::example_conversation();
        let user = conversation.assignee.as_ref().map(|user| user.id.to_string());
        let (body, _) = told(EventKind::ConversationAssigned(conversation.clone()));
        assert_eq!(
            body["data"]["assignee"],
            json!({"user_id": user, "team_id": null, "previous_user_id": null})
        );
        let (body, _) = told(EventKind::ConversationClosed(conversation.clone()));
        assert_eq!(body["data"]["conversation"]["closed_by_user_id"], Value::Null);
        assert!(body["data"]["conversation"].as_object().unwrap().contains_key("closed_by_user_id"));
        let (body, own) = told(EventKind::ConversationUpdated(conversation));
        assert_eq!(body, own);
    }
}
