//! Rules of identity: the contact that an item belongs to, and what the item teaches about it.
//!
//! Invariants: an item is attributed by user id, then portfolio id, then WhatsApp's form of the number, then the
//! number. A number that comes with another user id than the known one is another person's, and moves to that
//! person unless the item is older than the newest that named the number. Identifiers of one item that belong
//! to two contacts otherwise make the two one.

use std::sync::Arc;

use super::{contacts, merges};
use crate::domain::contact::{Contact, ContactRef, NameOrigin};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::identity::{ContactKind, GroupId, Identifier, IdentifierKey, Identity, Party};
use crate::domain::inbound::PersonNotice;
use crate::domain::phone::Phone;
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::time::Timestamp;
use crate::ids::ContactId;

/// Contacts that own a party's keys, in the order in which the keys decide.
fn find_owners(
    draft: &mut Draft<'_>,
    party: &Party,
) -> Result<Vec<(IdentifierKey, ContactRef)>, RowNotLoaded> {
    let mut owners = Vec::new();
    let mut missing = None;
    for key in party.keys() {
        let found = match draft.loaded_rows().contact_of(&key) {
            Ok(Some(id)) => draft.loaded_rows().contact_ref(id),
            Ok(None) => Ok(None),
            Err(not_loaded) => Err(not_loaded),
        };
        match found {
            Ok(Some(owner)) => owners.push((key, owner)),
            Ok(None) => {}
            Err(not_loaded) => {
                // The keys behind it are looked up too, so that one more round loads all of them.
                draft.note_missing(not_loaded.clone());
                missing = Some(not_loaded);
            }
        }
    }
    missing.map_or(Ok(owners), Err)
}

/// The contact that an item of this time belongs to, created when there is none. What the item states is
/// learned.
pub(super) fn attribute_party(
    draft: &mut Draft<'_>,
    party: &Party,
    at: Timestamp,
) -> Result<ContactRef, RowNotLoaded> {
    let owners = find_owners(draft, party)?;
    let anchor = owners.first().filter(|(key, owner)| !is_another_person(key, owner, party));
    let anchor = anchor.map(|(_, owner)| owner.id);
    learn_statement(draft, anchor, owners, party, at)
}

/// Learns what an item of this time states about a contact that is known by other means, such as the
/// recipient of a message. A statement about another person changes nothing.
pub(super) fn learn_about(
    draft: &mut Draft<'_>,
    id: ContactId,
    party: &Party,
    at: Timestamp,
) -> Result<(), RowNotLoaded> {
    if party.is_anonymous() && party.name.is_none() {
        return Ok(());
    }
    let owners = find_owners(draft, party)?;
    let Some(known) = draft.loaded_rows().contact_ref(id)? else { return Ok(()) };
    if known.kind == ContactKind::Group || known.identity.contradicts(party) {
        return Ok(());
    }
    learn_statement(draft, Some(id), owners, party, at).map(drop)
}

/// Learns what an item states about a person that is a contact already. Participants of groups do not become
/// contacts by what they write there.
pub(super) fn learn_if_known(
    draft: &mut Draft<'_>,
    party: &Party,
    at: Timestamp,
) -> Result<(), RowNotLoaded> {
    let known =
        find_owners(draft, party)?.first().is_some_and(|(key, owner)| !is_another_person(key, owner, party));
    if known { attribute_party(draft, party, at).map(drop) } else { Ok(()) }
}

/// Returns `true` when the owner of a number is not the party, because their user ids differ.
fn is_another_person(key: &IdentifierKey, owner: &ContactRef, party: &Party) -> bool {
    matches!(key, IdentifierKey::Number(_)) && owner.identity.contradicts(party)
}

fn learn_statement(
    draft: &mut Draft<'_>,
    anchor: Option<ContactId>,
    owners: Vec<(IdentifierKey, ContactRef)>,
    party: &Party,
    at: Timestamp,
) -> Result<ContactRef, RowNotLoaded> {
    let mut party = party.clone();
    let mut same_person = Vec::new();
    let mut moved = Vec::new();
    for (key, owner) in owners {
        if Some(owner.id) == anchor || same_person.contains(&owner.id) {
            continue;
        }
        match &key {
            IdentifierKey::Number(phone) if owner.identity.contradicts(&party) => {
                if at >= named_at(draft, &owner, phone)? {
                    moved.push((owner.id, phone.clone()));
                } else {
                    // An old item: the number stays where newer ones have put it.
                    party.phone = party.phone.filter(|told| !owner_has(&owner, told));
                    party.wa_id = party.wa_id.filter(|told| !owner_has(&owner, told));
                }
            }
            IdentifierKey::Number(_)
            | IdentifierKey::User(_)
            | IdentifierKey::Parent(_)
            | IdentifierKey::Group(_) => same_person.push(owner.id),
        }
    }
    let id = match anchor {
        Some(id) => id,
        None => match same_person.pop() {
            Some(id) => id,
            None => contacts::insert_person(draft, &party, at)?,
        },
    };
    let mut numbers = Vec::new();
    for (owner, phone) in moved {
        numbers.extend(take_number(draft, owner, &phone)?);
    }
    let person = merge_persons(draft, id, same_person)?;
    let learn = |identity: &mut Identity| {
        for number in &numbers {
            identity.put_number(number, at);
        }
        identity.learn_party(&party, at);
    };
    update_identity(draft, person, learn, party.name.as_ref())
}

fn owner_has(owner: &ContactRef, phone: &Phone) -> bool {
    owner.identity.number_with(phone).is_some()
}

/// Newest time of WhatsApp's at which an item named this number of a contact.
fn named_at(draft: &Draft<'_>, owner: &ContactRef, phone: &Phone) -> Result<Timestamp, RowNotLoaded> {
    let Some(number) = owner.identity.number_with(phone) else { return Ok(Timestamp::EPOCH) };
    let current = owner.identity.phone() == Some(&number.phone);
    let conversation = draft.loaded_rows().conversation_of(owner.id)?;
    let by_messages = conversation.filter(|_| current).and_then(|conversation| conversation.number_named_at);
    Ok(by_messages.map_or(number.named_at, |at| at.max(number.named_at)))
}

/// Takes a number from a contact, because it is another person's now.
fn take_number(
    draft: &mut Draft<'_>,
    owner: ContactId,
    phone: &Phone,
) -> Result<Option<crate::domain::identity::ContactNumber>, RowNotLoaded> {
    let mut taken = None;
    let owner = MergedPerson { id: owner, merged: Vec::new(), before: None };
    update_identity(draft, owner, |identity| taken = identity.take_number(phone), None)?;
    Ok(taken)
}

/// Replaces identifiers of one person by others, because WhatsApp says that they have changed.
pub(super) fn replace_identity(
    draft: &mut Draft<'_>,
    before: &Party,
    after: &Party,
    at: Timestamp,
) -> Result<ContactRef, RowNotLoaded> {
    let former = find_owners(draft, before)?;
    let present = find_owners(draft, after)?;
    let mut owners: Vec<ContactId> = Vec::new();
    for (_, owner) in former.into_iter().chain(present) {
        if !owners.contains(&owner.id) {
            owners.push(owner.id);
        }
    }
    let mut rest = owners.into_iter();
    let id = match rest.next() {
        Some(id) => id,
        None => contacts::insert_person(draft, before, at)?,
    };
    let person = merge_persons(draft, id, rest.collect())?;
    let learn = |identity: &mut Identity| {
        identity.learn_party(before, at);
        identity.replace_party(after, at);
    };
    update_identity(draft, person, learn, after.name.as_ref())
}

/// A contact, and those that were merged into it.
struct MergedPerson {
    id: ContactId,
    merged: Vec<ContactId>,
    /// The contact's own identifiers before the merge; `None` without a merge.
    before: Option<Vec<Identifier>>,
}

/// Merges contacts that are one person, and remembers what the one that stays had of its own.
fn merge_persons(
    draft: &mut Draft<'_>,
    first: ContactId,
    others: Vec<ContactId>,
) -> Result<MergedPerson, RowNotLoaded> {
    let mut own = Vec::new();
    if !others.is_empty() {
        for id in std::iter::once(first).chain(others.iter().copied()) {
            let known = draft.loaded_rows().contact_ref(id)?.ok_or_else(|| contacts::not_loaded(id))?;
            own.push((id, known.identity.identifiers()));
        }
    }
    let mut person = MergedPerson { id: first, merged: Vec::new(), before: None };
    for other in others {
        let into = merges::merge_contacts(draft, person.id, other)?;
        person.merged.push(if into == person.id { other } else { person.id });
        person.id = into;
    }
    person.before = own.into_iter().find(|(id, _)| *id == person.id).map(|(_, identifiers)| identifiers);
    Ok(person)
}

/// Changes a contact's identity and fills in a missing name; writes nothing when nothing changes.
fn update_identity(
    draft: &mut Draft<'_>,
    person: MergedPerson,
    change: impl FnOnce(&mut Identity),
    name: Option<&Arc<str>>,
) -> Result<ContactRef, RowNotLoaded> {
    let MergedPerson { id, merged, before } = person;
    let known = draft.loaded_rows().contact_ref(id)?.ok_or_else(|| contacts::not_loaded(id))?;
    let mut identity = (*known.identity).clone();
    change(&mut identity);
    let named = known.name.is_none() && name.is_some();
    if identity == *known.identity && !named && merged.is_empty() {
        return Ok(known);
    }
    let contact = draft.loaded_rows().find_contact(id)?.ok_or_else(|| contacts::not_loaded(id))?;
    let mut contact: Contact = (**contact).clone();
    let before = before.unwrap_or_else(|| contact.identity.identifiers());
    contact.identity = Arc::new(identity);
    if named {
        contact.name = name.cloned();
        contact.name_origin = NameOrigin::Profile;
    }
    let contact = draft.write_contact(contact);
    let after = contact.identity.identifiers();
    announce_identity(draft, &contact, &before, &after, merged);
    contacts::show_in_conversation(draft, &contact)?;
    Ok(ContactRef::from(&*contact))
}

fn announce_identity(
    draft: &mut Draft<'_>,
    contact: &Arc<Contact>,
    before: &[Identifier],
    after: &[Identifier],
    merged: Vec<ContactId>,
) {
    let added: Vec<Identifier> = after.iter().filter(|one| !before.contains(one)).cloned().collect();
    let lost = before.iter().any(|one| !after.contains(one));
    let event = |added: &Vec<Identifier>, merged| EventKind::ContactIdentityUpdated {
        contact: (**contact).clone(),
        added: added.clone(),
        merged,
    };
    if merged.is_empty() {
        draft.emit_event(if added.is_empty() && !lost {
            EventKind::ContactUpdated((**contact).clone())
        } else {
            event(&added, None)
        });
        return;
    }
    for one in merged {
        draft.emit_event(event(&added, Some(one)));
    }
}

/// The contact of a group, created when there is none.
pub(super) fn find_group(draft: &mut Draft<'_>, group: &GroupId) -> Result<ContactRef, RowNotLoaded> {
    if let Some(id) = draft.loaded_rows().contact_of(&IdentifierKey::Group(group.clone()))?
        && let Some(known) = draft.loaded_rows().contact_ref(id)?
    {
        return Ok(known);
    }
    let id = draft.next_contact_id();
    let identity = Identity::of_group(group.clone());
    Ok(ContactRef::from(&*contacts::insert_contact(draft, id, ContactKind::Group, identity)))
}

/// Learns what WhatsApp tells about one person outside of a message.
pub(super) fn learn_notice(draft: &mut Draft<'_>, notice: &PersonNotice) -> Result<(), RowNotLoaded> {
    let at = notice.at.min(draft.now);
    let contact = match &notice.before {
        Some(before) => {
            if find_owners(draft, before)?.is_empty() && find_owners(draft, &notice.party)?.is_empty() {
                return Ok(());
            }
            replace_identity(draft, before, &notice.party, at)?
        }
        None if notice.creates || !find_owners(draft, &notice.party)?.is_empty() => {
            attribute_party(draft, &notice.party, at)?
        }
        None => return Ok(()),
    };
    match &notice.book_name {
        Some(name) => contacts::apply_book_name(draft, contact.id, name),
        None => Ok(()),
    }
}
