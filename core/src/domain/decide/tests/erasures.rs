//! Deletion of contacts and removal of messages: nothing is written of what goes, and what comes late is skipped.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::identity::{IdentifierKey, Party, UserId};
use crate::domain::inbound::{InboundMessage, ItemOwner};
use crate::domain::loaded_rows::LoadedRows;

fn contact_of(world: &World) -> crate::ids::ContactId {
    world.thread().contact.id
}

#[test]
fn a_deleted_contact_leaves_ids_only() {
    let mut world = World::new();
    world.ingest(vec![inbound("a"), inbound("b")]);
    let (contact, conversation) = (contact_of(&world), world.thread().id);
    let (result, changes) = world.run(&AccountCommand::DeleteContact(contact));
    assert_eq!(result, Ok(CommandReply::Recorded));
    assert_eq!(
        changes.events,
        [EventKind::ConversationDeleted { conversation, contact }, EventKind::ContactDeleted(contact)]
    );
    assert!(changes.contacts.is_empty() && changes.conversations.is_empty() && changes.messages.is_empty());
    let marks: Vec<&str> = changes.deleted[0].marks.iter().map(|mark| &**mark).collect();
    assert_eq!(marks, ["+6281200000001", "6281200000001"]);
    assert!(world.contacts.is_empty() && world.identifiers.is_empty());
    assert_eq!(world.run(&AccountCommand::DeleteContact(contact)).0, Err(CommandRefusal::NoContact));
    // What WhatsApp repeats is skipped; what is new begins anew.
    let again = world.ingest(vec![inbound("a"), report("b", MessageStatus::Read, START_MS)]);
    assert!(again.is_empty() && again.skipped_erased == 2 && world.parked.is_empty());
    world.ingest(vec![inbound("c")]);
    assert_ne!(contact_of(&world), contact);
}

#[test]
fn what_the_same_commit_wrote_before_goes_too() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let (contact, conversation) = (contact_of(&world), world.thread().id);
    let commands = [
        AccountCommand::Ingest(vec![inbound("b")]),
        AccountCommand::DeleteContact(contact),
        AccountCommand::Ingest(vec![inbound("a"), inbound("b"), inbound("c")]),
    ];
    let decided = world.decide(&commands, LoadedRows::default());
    let changes = &decided.changes;
    let key = IdentifierKey::Number(phone("+6281200000001"));
    let new = changes.identifiers[&key];
    assert_ne!(new, contact);
    assert!(!changes.contacts.contains_key(&contact) && !changes.conversations.contains_key(&conversation));
    assert!(changes.messages.values().all(|message| message.contact_id == new), "{:?}", changes.messages);
    assert_eq!(changes.messages.len(), 1, "a and b were erased");
    assert_eq!(changes.skipped_erased, 2);
    assert!(
        matches!(&changes.events[0], EventKind::Erased(erased) if erased.event_type.as_str() == "message.received")
    );
    world.commit(&decided);
    assert_eq!(world.thread().contact.id, new);
    assert_eq!(world.thread().unread_count, 1);
}

#[test]
fn the_outcome_of_a_send_to_a_deleted_contact_is_dropped() {
    let mut world = World::new();
    let id = send(&mut world);
    let contact = contact_of(&world);
    world.run(&AccountCommand::DeleteContact(contact)).0.unwrap();
    let (_, changes) = world.run(&AccountCommand::RecordSends(vec![(id, accepted("wamid.x"))]));
    assert!(changes.is_empty());
    // Its report names the message by the id that this server gave it.
    let mut sent = status_report("wamid.x", MessageStatus::Delivered, START_MS);
    sent.echo = Some(id);
    let changes = world.ingest(vec![item(InboundFact::Status(Box::new(sent)))]);
    assert!(changes.is_empty() && world.parked.is_empty());
}

#[test]
fn contacts_that_were_merged_go_with_the_one_that_is_left() {
    let mut world = World::new();
    let user = UserId::parse("ID.1").unwrap();
    let from = |party: Party, wamid: &str| {
        message_item(InboundMessage { owner: ItemOwner::Person(party), ..text(wamid, START_MS) })
    };
    world.ingest(vec![from(Party::of_phone(phone("+6281200000001")), "a")]);
    world.ingest(vec![from(Party::of_user_id(user.clone()), "b")]);
    let both = Party { phone: Some(phone("+6281200000001")), ..Party::of_user_id(user) };
    world.ingest(vec![from(both, "c")]);
    let merged = world.contacts.values().find(|contact| contact.merged_into.is_some()).unwrap().id;
    let (_, changes) = world.run(&AccountCommand::DeleteContact(merged));
    assert_eq!(changes.deleted.len(), 2);
    assert!(world.contacts.is_empty() && world.threads.is_empty() && world.messages.is_empty());
}

#[test]
fn removed_messages_do_not_count_as_unread() {
    let mut world = World::new();
    world.ingest(vec![inbound("a"), inbound("b")]);
    let waiting = send(&mut world);
    let mut ids: Vec<MessageId> = world.messages.keys().copied().collect();
    let (_, changes) = world.run(&AccountCommand::RemoveMessages(ids.clone()));
    ids.retain(|id| *id != waiting);
    assert_eq!(changes.removed, ids, "a message that waits stays");
    assert_eq!(world.thread().unread_count, 0);
    assert_eq!(changes.events.len(), 1, "one change of the conversation is told");
    assert_eq!(world.messages.keys().collect::<Vec<_>>(), [&waiting]);
}
