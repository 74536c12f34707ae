//! Looks after what changes later: opens the conversation of a message that its author edits or takes back, keeps
//! the contact of each user id, and reports news of the account.
//!
//! It needs the package `kabar:hooks@1.1.0`: 1.0.0 has neither these events nor user ids.
//!
//! Events: `message.edited`, `message.revoked`, `contact.created`, `contact.identity_updated`, `whatsapp.*`.
//! Config: `assignee` (optional), the id of the user (`usr_…`) who gets such conversations.

use kabar_hook::conversations::{Assignment, Changes};
use kabar_hook::{Change, Contact, ConversationStatus, Event, HookError, Message};
use kabar_hook::{config, conversations, hook, kv, log};

fn handle(event: Event) -> Result<(), HookError> {
    match event.change {
        Change::MessageEdited(edit) => {
            open_conversation(&edit.message, &format!("was edited; before, it said {:?}", edit.previous_content))
        }
        Change::MessageRevoked(message) => open_conversation(&message, "was taken back"),
        Change::ContactCreated(contact) => keep_contact(&contact),
        Change::ContactIdentityUpdated(update) => keep_contact(&update.contact),
        Change::WhatsappField(news) => {
            log::warn(&format!("{}: {}", news.field, news.value));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Opens the conversation of a message, and assigns it if there is a user for that.
fn open_conversation(message: &Message, reason: &str) -> Result<(), HookError> {
    let assigned_to = config::get("assignee").map_or(Assignment::Keep, Assignment::User);
    let changes = Changes { status: Some(ConversationStatus::Open), assigned_to };
    conversations::update(&message.conversation_id, &changes)?;
    log::info(&format!("{} {reason}", message.id));
    Ok(())
}

/// Keeps the contact of each of its user ids: `contacts/<user id>`.
fn keep_contact(contact: &Contact) -> Result<(), HookError> {
    let user_ids = contact.identifiers.iter().filter(|identifier| identifier.kind == "user_id");
    for identifier in user_ids {
        kv::set(&format!("contacts/{}", identifier.value), contact.id.as_bytes())?;
    }
    let username = contact.username.as_deref().unwrap_or("no username");
    log::debug(&format!("{} has {username} and {} identifiers", contact.id, contact.identifiers.len()));
    Ok(())
}

hook!(handle);
