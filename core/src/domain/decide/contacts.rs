//! Rules of contacts. A rename shows in the contact's conversation, so it also changes that conversation.

use std::sync::Arc;

use super::DecideError;
use crate::domain::command::{CommandRefusal, CommandReply};
use crate::domain::contact::{Contact, ContactPatch, ContactRef, NameOrigin, NewContact};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::identity::{ContactKind, Identity, Party};
use crate::domain::row_needs::{RowNeed, RowNotLoaded};
use crate::domain::time::Timestamp;
use crate::ids::ContactId;

/// Metadata of a contact for which none was given.
const NO_METADATA: &str = "{}";

/// The error of a contact whose row must exist and is not loaded.
pub(super) const fn not_loaded(id: ContactId) -> RowNotLoaded {
    RowNotLoaded(RowNeed::Contact(id))
}

pub(super) fn create_contact(draft: &mut Draft<'_>, new: &NewContact) -> Result<CommandReply, DecideError> {
    let party = new.identifier.to_party();
    for key in party.keys() {
        if let Some(known) = draft.loaded_rows().contact_of(&key)? {
            return Err(CommandRefusal::ContactExists(known).into());
        }
    }
    let mut identity = Identity::default();
    identity.learn_party(&party, draft.now);
    let id = draft.next_contact_id();
    let mut contact = blank_contact(draft, id, ContactKind::Person, identity);
    contact.name.clone_from(&new.name);
    contact.name_origin = if new.name.is_some() { NameOrigin::Client } else { NameOrigin::Profile };
    contact.email.clone_from(&new.email);
    if let Some(metadata) = &new.metadata {
        contact.metadata = metadata.clone();
    }
    Ok(CommandReply::Contact(write_new(draft, contact)))
}

fn blank_contact(draft: &Draft<'_>, id: ContactId, kind: ContactKind, identity: Identity) -> Contact {
    Contact {
        id,
        kind,
        identity: Arc::new(identity),
        name: None,
        name_origin: NameOrigin::Profile,
        email: None,
        metadata: NO_METADATA.into(),
        marketing_opted_out_at: None,
        merged_into: None,
        created_at: draft.now,
        updated_at: draft.now,
    }
}

fn write_new(draft: &mut Draft<'_>, contact: Contact) -> Arc<Contact> {
    let contact = draft.write_contact(contact);
    draft.emit_event(EventKind::ContactCreated((*contact).clone()));
    contact
}

/// Creates a contact with these identifiers.
pub(super) fn insert_contact(
    draft: &mut Draft<'_>,
    id: ContactId,
    kind: ContactKind,
    identity: Identity,
) -> Arc<Contact> {
    let contact = blank_contact(draft, id, kind, identity);
    write_new(draft, contact)
}

/// Creates the contact of a person, with the identifiers of theirs that are no other contact's.
pub(super) fn insert_person(
    draft: &mut Draft<'_>,
    party: &Party,
    at: Timestamp,
) -> Result<ContactId, RowNotLoaded> {
    let mut free = party.clone();
    for key in party.keys() {
        if draft.loaded_rows().contact_of(&key)?.is_some() {
            free.forget_key(&key);
        }
    }
    let mut identity = Identity::default();
    identity.learn_party(&free, at);
    let id = draft.next_contact_id();
    let mut contact = blank_contact(draft, id, ContactKind::Person, identity);
    contact.name.clone_from(&party.name);
    write_new(draft, contact);
    Ok(id)
}

pub(super) fn patch_contact(
    draft: &mut Draft<'_>,
    id: ContactId,
    patch: &ContactPatch,
) -> Result<CommandReply, DecideError> {
    let mut known = draft.loaded_rows().find_contact(id)?.ok_or(CommandRefusal::NoContact)?.clone();
    // A contact that was merged stands for the one that is left.
    while let Some(into) = known.merged_into {
        known = draft.loaded_rows().find_contact(into)?.ok_or(CommandRefusal::NoContact)?.clone();
    }
    Ok(CommandReply::Contact(change_contact(draft, &known, patch)?))
}

/// Applies a patch; writes nothing when nothing changes.
fn change_contact(
    draft: &mut Draft<'_>,
    known: &Arc<Contact>,
    patch: &ContactPatch,
) -> Result<Arc<Contact>, RowNotLoaded> {
    let mut contact = (**known).clone();
    if let Some(name) = &patch.name {
        contact.name.clone_from(name);
        contact.name_origin = if name.is_some() { NameOrigin::Client } else { NameOrigin::Profile };
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
    write_changed(draft, contact)
}

/// Writes a contact that has changed, and tells of it.
pub(super) fn write_changed(draft: &mut Draft<'_>, contact: Contact) -> Result<Arc<Contact>, RowNotLoaded> {
    let contact = draft.write_contact(contact);
    draft.emit_event(EventKind::ContactUpdated((*contact).clone()));
    show_in_conversation(draft, &contact)?;
    Ok(contact)
}

/// Shows a changed contact in its conversation, if that shows anything else now.
pub(super) fn show_in_conversation(
    draft: &mut Draft<'_>,
    contact: &Arc<Contact>,
) -> Result<(), RowNotLoaded> {
    let Some(conversation) = draft.loaded_rows().conversation_of(contact.id)? else { return Ok(()) };
    let shown = ContactRef::from(&**contact);
    if conversation.contact == shown {
        return Ok(());
    }
    let visible = conversation.contact.name != shown.name
        || conversation.contact.identity.phone() != shown.identity.phone()
        || conversation.contact.identity.user_id() != shown.identity.user_id();
    let mut conversation = (**conversation).clone();
    conversation.contact = shown;
    let conversation = draft.write_conversation(conversation);
    if visible {
        draft.emit_event(EventKind::ConversationUpdated((*conversation).clone()));
    }
    Ok(())
}

/// Gives a contact the name of the business's address book, unless a client named it.
pub(super) fn apply_book_name(
    draft: &mut Draft<'_>,
    id: ContactId,
    name: &Arc<str>,
) -> Result<(), RowNotLoaded> {
    let known = draft.loaded_rows().find_contact(id)?.ok_or_else(|| not_loaded(id))?;
    if known.name_origin > NameOrigin::AddressBook || known.name.as_ref() == Some(name) {
        return Ok(());
    }
    let mut contact = (**known).clone();
    contact.name = Some(name.clone());
    contact.name_origin = NameOrigin::AddressBook;
    write_changed(draft, contact).map(drop)
}
