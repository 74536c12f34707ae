//! Rule of merging two contacts that are the same person.
//!
//! Invariant: the contact with the older conversation stays, whichever of the two the item named first.

use std::sync::Arc;

use super::contacts;
use crate::domain::contact::{Contact, ContactRef};
use crate::domain::conversation::{Conversation, ConversationStatus};
use crate::domain::draft::{ConversationMerge, Draft};
use crate::domain::event::EventKind;
use crate::domain::identity::Identity;
use crate::domain::row_needs::RowNotLoaded;
use crate::ids::ContactId;

/// Merges two contacts and their conversations. Returns the contact that stays. Its event is the caller's, who
/// adds what the item teaches.
pub(super) fn merge_contacts(
    draft: &mut Draft<'_>,
    one: ContactId,
    other: ContactId,
) -> Result<ContactId, RowNotLoaded> {
    let rows = draft.loaded_rows();
    let conversations = (rows.conversation_of(one)?.cloned(), rows.conversation_of(other)?.cloned());
    let one = rows.find_contact(one)?.ok_or_else(|| contacts::not_loaded(one))?.clone();
    let other = rows.find_contact(other)?.ok_or_else(|| contacts::not_loaded(other))?.clone();
    let one_stays = match &conversations {
        (Some(first), Some(second)) => (first.created_at, first.id) <= (second.created_at, second.id),
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => (one.created_at, one.id) <= (other.created_at, other.id),
    };
    let ((stays, stays_in), (goes, goes_from)) = if one_stays {
        ((one, conversations.0), (other, conversations.1))
    } else {
        ((other, conversations.1), (one, conversations.0))
    };
    let merged = combine_contacts(&stays, &goes);
    let mut emptied = (*goes).clone();
    emptied.identity = Arc::new(Identity::default());
    emptied.merged_into = Some(stays.id);
    let emptied = draft.write_contact(emptied);
    let merged = draft.write_contact(merged);
    match (stays_in, goes_from) {
        (Some(stays_in), Some(goes_from)) => {
            let mut goes_from = (*goes_from).clone();
            goes_from.contact = ContactRef::from(&*emptied);
            merge_conversations(draft, &merged, &stays_in, goes_from)?;
        }
        (Some(stays_in), None) => {
            let mut conversation = (*stays_in).clone();
            conversation.contact = ContactRef::from(&*merged);
            draft.write_conversation(conversation);
        }
        (None, _) => {}
    }
    Ok(merged.id)
}

/// The contact that stays, with what it gets from the other.
fn combine_contacts(stays: &Contact, goes: &Contact) -> Contact {
    let mut merged = stays.clone();
    let mut identity = (*stays.identity).clone();
    identity.absorb(&goes.identity);
    merged.identity = Arc::new(identity);
    if merged.name.is_none() || (goes.name.is_some() && goes.name_origin > merged.name_origin) {
        merged.name.clone_from(&goes.name);
        merged.name_origin = goes.name_origin;
    }
    if merged.email.is_none() {
        merged.email.clone_from(&goes.email);
    }
    merged.metadata = combine_metadata(&stays.metadata, &goes.metadata);
    merged.marketing_opted_out_at = stays.marketing_opted_out_at.max(goes.marketing_opted_out_at);
    merged
}

/// The union of two JSON objects by key, in which the first wins. The texts are objects of the server's own
/// writing.
fn combine_metadata(first: &Arc<str>, second: &Arc<str>) -> Arc<str> {
    crate::domain::json_members::union_members(first, second).map_or_else(|| first.clone(), Arc::from)
}

fn merge_conversations(
    draft: &mut Draft<'_>,
    contact: &Arc<Contact>,
    stays: &Conversation,
    goes: Conversation,
) -> Result<(), RowNotLoaded> {
    draft.merge_conversations(ConversationMerge { from: goes.id, into: stays.id, contact: contact.id })?;
    let mut merged = stays.clone();
    merged.contact = ContactRef::from(&**contact);
    merged.status = match (stays.status, goes.status) {
        (ConversationStatus::Open, _) | (_, ConversationStatus::Open) => ConversationStatus::Open,
        (ConversationStatus::Pending, _) | (_, ConversationStatus::Pending) => ConversationStatus::Pending,
        (ConversationStatus::Resolved, ConversationStatus::Resolved) => ConversationStatus::Resolved,
    };
    merged.assignee = stays.assignee.clone().or_else(|| goes.assignee.clone());
    merged.unread_count = stays.unread_count.saturating_add(goes.unread_count);
    merged.last_message_at = stays.last_message_at.max(goes.last_message_at);
    merged.last_inbound_at = stays.last_inbound_at.max(goes.last_inbound_at);
    merged.number_named_at = stays.number_named_at.max(goes.number_named_at);
    let emptied = Conversation { merged_into: Some(stays.id), unread_count: 0, ..goes };
    draft.write_conversation(emptied);
    let merged = draft.write_conversation(merged);
    draft.emit_event(EventKind::ConversationMerged((*merged).clone()));
    Ok(())
}
