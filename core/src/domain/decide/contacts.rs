//! Rules of contacts. A rename shows in the contact's conversation, so it also changes that conversation.

use std::sync::Arc;

use super::DecideError;
use crate::domain::command::{CommandRefusal, CommandReply};
use crate::domain::contact::{Contact, ContactPatch, NewContact};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::phone::Phone;
use crate::domain::row_needs::RowNotLoaded;
use crate::ids::ContactId;

/// Metadata of a contact for which none was given.
const NO_METADATA: &str = "{}";

pub(super) fn create_contact(draft: &mut Draft<'_>, new: &NewContact) -> Result<CommandReply, DecideError> {
    if let Some(known) = draft.loaded_rows().contact_of(&new.phone)? {
        return Err(CommandRefusal::ContactExists(known.id).into());
    }
    let contact = insert_contact(draft, new);
    Ok(CommandReply::Contact(contact))
}

fn insert_contact(draft: &mut Draft<'_>, new: &NewContact) -> Arc<Contact> {
    let id = ContactId::from_bits(draft.next_bits());
    let contact = draft.write_contact(Contact {
        id,
        phone: new.phone.clone(),
        name: new.name.clone(),
        email: new.email.clone(),
        metadata: new.metadata.clone().unwrap_or_else(|| NO_METADATA.into()),
        created_at: draft.now,
        updated_at: draft.now,
    });
    draft.emit_event(EventKind::ContactCreated((*contact).clone()));
    contact
}

/// The contact with this number, created when there is none.
pub(super) fn find_or_insert(
    draft: &mut Draft<'_>,
    phone: &Phone,
    name: Option<&Arc<str>>,
) -> Result<Arc<Contact>, RowNotLoaded> {
    if let Some(known) = draft.loaded_rows().contact_of(phone)? {
        return Ok(known.clone());
    }
    let new = NewContact { phone: phone.clone(), name: name.cloned(), email: None, metadata: None };
    Ok(insert_contact(draft, &new))
}

pub(super) fn patch_contact(
    draft: &mut Draft<'_>,
    id: ContactId,
    patch: &ContactPatch,
) -> Result<CommandReply, DecideError> {
    let known = draft.loaded_rows().find_contact(id)?.ok_or(CommandRefusal::NoContact)?.clone();
    Ok(CommandReply::Contact(change_contact(draft, &known, patch)?))
}

/// Applies a patch; writes nothing when nothing changes.
pub(super) fn change_contact(
    draft: &mut Draft<'_>,
    known: &Arc<Contact>,
    patch: &ContactPatch,
) -> Result<Arc<Contact>, RowNotLoaded> {
    let mut contact = (**known).clone();
    if let Some(name) = &patch.name {
        contact.name.clone_from(name);
    }
    if let Some(email) = &patch.email {
        contact.email.clone_from(email);
    }
    if let Some(metadata) = &patch.metadata {
        contact.metadata = metadata.clone();
    }
    if contact == **known {
        return Ok(known.clone());
    }
    let renamed = contact.name != known.name;
    let contact = draft.write_contact(contact);
    draft.emit_event(EventKind::ContactUpdated((*contact).clone()));
    if renamed && let Some(thread) = draft.loaded_rows().conversation_with(&contact.phone)? {
        let mut thread = (**thread).clone();
        thread.contact = (&*contact).into();
        let thread = draft.write_conversation(thread);
        draft.emit_event(EventKind::ConversationUpdated((*thread).clone()));
    }
    Ok(contact)
}
