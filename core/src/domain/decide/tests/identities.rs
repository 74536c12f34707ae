//! Whom an item belongs to, and what it teaches: the contract's section on identity.

use proptest::prelude::*;

use super::*;
use crate::domain::contact::Contact;
use crate::domain::identity::{ContactKind, GroupId, IdentifierKey, Party, UserId};
use crate::domain::inbound::{IdentityChange, InboundItem, InboundMessage, ItemOwner};
use crate::domain::message::Direction;

fn user(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

fn both(number: &str, id: &str) -> Party {
    Party { phone: Some(phone(number)), ..Party::of_user_id(user(id)) }
}

fn from(party: Party, wamid: &str, at_ms: i64) -> InboundItem {
    message_item(InboundMessage { owner: ItemOwner::Person(party), ..text(wamid, at_ms) })
}

fn system(party: Party, before: Party, after: Party, wamid: &str, at_ms: i64) -> InboundItem {
    message_item(InboundMessage {
        owner: ItemOwner::Person(party),
        kind: MessageKind::System,
        identity_change: Some(IdentityChange { before, after }),
        ..text(wamid, at_ms)
    })
}

/// The contacts that lists show.
fn listed(world: &World) -> Vec<&Contact> {
    world
        .contacts
        .values()
        .map(|contact| &**contact)
        .filter(|contact| contact.merged_into.is_none())
        .collect()
}

fn shown(contact: &Contact) -> Vec<String> {
    let all = contact.identity.identifiers();
    all.iter().map(|one| format!("{} {}", one.type_and_value().0, one.type_and_value().1)).collect()
}

/// Every identifier belongs to one contact that lists show, and every message to a conversation that is shown.
fn check(world: &World) {
    let mut owned = std::collections::BTreeMap::new();
    for contact in listed(world) {
        for key in contact.identity.keys() {
            assert_eq!(owned.insert(key.clone(), contact.id), None, "{key:?} has two owners");
            assert_eq!(world.identifiers.get(&key), Some(&contact.id), "{key:?} leads elsewhere");
        }
    }
    assert_eq!(owned.len(), world.identifiers.len());
    for message in world.messages.values() {
        let conversation = &world.threads[&message.conversation_id];
        assert_eq!((conversation.merged_into, conversation.contact.id), (None, message.contact_id));
    }
    for conversation in world.threads.values() {
        let unread = world.messages.values().filter(|message| {
            message.conversation_id == conversation.id
                && message.status == MessageStatus::Received
                && message.kind == MessageKind::Text
        });
        assert_eq!(usize::try_from(conversation.unread_count).unwrap(), unread.count());
        assert_eq!(*conversation.contact.identity, *world.contacts[&conversation.contact.id].identity);
    }
}

#[test]
fn a_user_id_alone_is_enough() {
    let mut world = World::new();
    world.ingest(vec![from(Party::of_user_id(user("ID.1")), "a", START_MS)]);
    assert_eq!(world.events, ["contact.created", "conversation.created", "message.received"]);
    assert_eq!(shown(listed(&world)[0]), ["user_id ID.1"]);
    assert_eq!(
        (world.thread().unread_count, world.messages.values().next().unwrap().from.as_str()),
        (1, "ID.1")
    );
    check(&world);
}

#[test]
fn a_number_first_and_the_user_id_alone_later_are_one_person() {
    let mut world = World::new();
    world.ingest(vec![from(both("+6281270551192", "ID.5"), "a", START_MS)]);
    let mut later = Party::of_user_id(user("ID.5"));
    later.username = Some("dewi".into());
    world.ingest(vec![from(later, "b", START_MS + 1)]);
    let contact = listed(&world)[0];
    assert_eq!(shown(contact), ["phone_number +6281270551192", "user_id ID.5"]);
    assert_eq!(contact.identity.username.as_ref().map(|known| &*known.text), Some("dewi"));
    assert_eq!((world.thread().unread_count, world.contacts.len()), (2, 1));
    assert_eq!(world.events.iter().filter(|event| *event == "contact.created").count(), 1);
    check(&world);
}

#[test]
fn an_item_without_any_identifier_has_a_contact_of_its_own() {
    let mut world = World::new();
    let nameless = |wamid| from(Party { name: Some("?".into()), ..Party::default() }, wamid, START_MS);
    world.ingest(vec![nameless("a"), nameless("b"), nameless("a")]);
    assert_eq!((world.contacts.len(), world.messages.len()), (2, 2));
    assert!(listed(&world).iter().all(|contact| contact.identity.identifiers().is_empty()));
    check(&world);
}

#[test]
fn a_number_that_was_given_out_again_moves() {
    let mut world = World::new();
    let number = "+6281277003344";
    world.ingest(vec![from(both(number, "ID.7"), "a", START_MS)]);
    world.ingest(vec![from(both(number, "ID.8"), "b", START_MS + 9)]);
    world.ingest(vec![from(Party::of_user_id(user("ID.7")), "c", START_MS + 10)]);
    let [first, second] = listed(&world)[..] else { panic!("two people") };
    assert_eq!(shown(first), ["user_id ID.7"]);
    assert_eq!(shown(second), [format!("phone_number {number}"), "user_id ID.8".to_owned()]);
    let of = |contact: &Contact| {
        world.messages.values().filter(|message| message.contact_id == contact.id).count()
    };
    assert_eq!((of(first), of(second)), (2, 1));
    // An old item does not move it back, and is still attributed by its user id.
    world.ingest(vec![from(both(number, "ID.7"), "d", START_MS + 1)]);
    let [first, second] = listed(&world)[..] else { panic!("two people") };
    assert_eq!((shown(first).len(), shown(second).len()), (1, 2));
    let sent = world.run(&AccountCommand::Send(crate::domain::message::OutgoingMessage {
        to: crate::domain::address::Address::Phone(phone(number)),
        ..outgoing(MessageKind::Text)
    }));
    let Ok(CommandReply::Message(message)) = sent.0 else { panic!("{sent:?}") };
    assert_eq!(message.contact_id, listed(&world)[1].id);
    check(&world);
}

#[test]
fn a_changed_number_is_one_person_in_either_order() {
    let (old, new) = ("+6281298935833", "+6281282753532");
    let first = || from(both(old, "ID.1"), "a", START_MS);
    let notice = || {
        let before = Party::of_user_id(user("ID.1"));
        system(Party::of_phone(phone(old)), before, both(new, "ID.3"), "b", START_MS + 5)
    };
    let last = || from(both(new, "ID.3"), "c", START_MS + 6);
    for items in [[first(), notice(), last()], [first(), last(), notice()]] {
        let mut world = World::new();
        let mut oldest = None;
        for item in items {
            world.ingest(vec![item]);
            oldest = oldest.or_else(|| world.threads.keys().next().copied());
        }
        let contact = listed(&world)[0];
        assert_eq!((listed(&world).len(), contact.identity.phone()), (1, Some(&phone(new))));
        assert_eq!(contact.identity.user_id(), Some(&user("ID.3")));
        let shown: Vec<_> = world.threads.values().filter(|one| one.merged_into.is_none()).collect();
        assert_eq!((shown.len(), shown[0].unread_count, Some(shown[0].id)), (1, 2, oldest));
        assert_eq!(world.messages.len(), 3);
        check(&world);
    }
}

#[test]
fn two_contacts_of_one_item_become_one() {
    let mut world = World::new();
    world.ingest(vec![from(Party::of_phone(phone("+6281200000002")), "a", START_MS)]);
    let number = world.thread().clone();
    world.ingest(vec![from(Party::of_user_id(user("ID.2")), "b", START_MS)]);
    let gone = *world.threads.keys().nth(1).unwrap();
    let resolve = AccountCommand::PatchConversation(ConversationPatch {
        id: number.id,
        status: Some(ConversationStatus::Resolved),
        assignee: None,
    });
    world.run(&resolve).0.unwrap();
    let named = AccountCommand::PatchContact {
        id: world.threads[&gone].contact.id,
        patch: ContactPatch {
            name: Some(Some("Given".into())),
            metadata: Some(r#"{"k":1}"#.into()),
            ..ContactPatch::default()
        },
    };
    world.run(&named).0.unwrap();
    world.events.clear();
    world.ingest(vec![from(both("+6281200000002", "ID.2"), "c", START_MS + 1)]);
    let stays = &world.threads[&number.id];
    assert_eq!((stays.unread_count, stays.status), (3, ConversationStatus::Open));
    let contact = listed(&world)[0];
    assert_eq!((contact.name.as_deref(), &*contact.metadata), (Some("Given"), r#"{"k":1}"#));
    assert_eq!(world.threads[&gone].merged_into, Some(number.id));
    assert_eq!(world.contacts[&world.threads[&gone].contact.id].merged_into, Some(contact.id));
    assert!(world.events.contains(&"conversation.merged".to_owned()));
    assert!(world.events.contains(&"contact.identity_updated".to_owned()));
    // A client that still knows the other conversation changes the one that is left.
    let patched = world.run(&AccountCommand::PatchConversation(ConversationPatch {
        id: gone,
        status: Some(ConversationStatus::Pending),
        assignee: None,
    }));
    assert!(matches!(patched.0, Ok(CommandReply::Conversation(row)) if row.id == number.id));
    check(&world);
}

#[test]
fn the_answer_to_a_send_teaches_the_form_at_whatsapp() {
    let mut world = World::new();
    let id = send(&mut world);
    let recipient = Party { wa_id: Some(phone("+62812000001")), ..both("+6281200000001", "ID.4") };
    let outcome = SendOutcome::Accepted { wamid: Some("out".into()), hold_reason: None, recipient };
    world.run(&AccountCommand::RecordSends(vec![(id, outcome)])).0.unwrap();
    world.ingest(vec![from(Party::of_phone(phone("+62812000001")), "a", START_MS)]);
    assert_eq!(
        shown(listed(&world)[0]),
        ["phone_number +6281200000001", "wa_id 62812000001", "user_id ID.4"]
    );
    assert_eq!((world.threads.len(), world.messages.len()), (1, 2));
    check(&world);
}

#[test]
fn a_group_is_a_contact_of_its_own() {
    let mut world = World::new();
    let group = GroupId::parse("Y2FwaV9ncm91cDox").unwrap();
    world.ingest(vec![inbound("a")]);
    let mut participant = Party::of_phone(phone("+6281200000001"));
    participant.name = Some("Wati".into());
    let in_group =
        InboundMessage { owner: ItemOwner::Group(group.clone(), participant), ..text("b", START_MS + 5) };
    world.ingest(vec![message_item(in_group)]);
    assert_eq!((world.threads.len(), world.contacts.len()), (2, 2));
    let of_group = world.contacts.values().find(|contact| contact.kind == ContactKind::Group).unwrap();
    assert_eq!(shown(of_group), ["group_id Y2FwaV9ncm91cDox"]);
    let message = world.messages.values().find(|message| message.contact_id == of_group.id).unwrap();
    let sender = message.details.sender.as_ref().unwrap();
    assert_eq!((message.from.as_str(), sender.name.as_deref()), ("+6281200000001", Some("Wati")));
    let private = world.threads.values().find(|one| one.contact.kind == ContactKind::Person).unwrap();
    assert_eq!((private.unread_count, private.last_inbound_at), (1, Some(Timestamp::from_millis(START_MS))));
    assert_eq!(
        world.run(&AccountCommand::MarkRead(ReadReceipt { wamid: "b".into(), typing: false })).0,
        Err(CommandRefusal::GroupMessage)
    );
    check(&world);
}

/// An item of one person: by number, by user id, by both, or by the form of the number at WhatsApp.
fn item_of_one(form: usize, place: usize) -> InboundItem {
    let number = "+5541998765432";
    let party = match form {
        0 => Party::of_phone(phone(number)),
        1 => Party::of_user_id(user("BR.1")),
        2 => Party { wa_id: Some(phone("+554198765432")), ..Party::of_user_id(user("BR.1")) },
        _ => Party { wa_id: Some(phone("+554198765432")), ..both(number, "BR.1") },
    };
    from(party, &format!("w{place}"), START_MS + i64::try_from(place).unwrap())
}

proptest! {
    /// However the items of one person are ordered, batched and repeated, once one item names all identifiers
    /// there is one contact with all messages, counted once.
    #[test]
    fn items_of_one_person_end_in_one_contact(
        forms in prop::collection::vec(0_usize..4, 1..7),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..14),
        batch in 1_usize..4,
    ) {
        let mut world = World::new();
        let mut places: Vec<usize> = order.iter().map(|index| index.index(forms.len())).collect();
        places.extend(0..forms.len());
        for chunk in places.chunks(batch) {
            world.ingest(chunk.iter().map(|place| item_of_one(forms[*place], *place)).collect());
            check(&world);
        }
        world.ingest(vec![item_of_one(3, forms.len())]);
        check(&world);
        prop_assert_eq!(listed(&world).len(), 1);
        prop_assert_eq!(shown(listed(&world)[0]), [
            "phone_number +5541998765432", "wa_id 554198765432", "user_id BR.1",
        ]);
        prop_assert_eq!(world.messages.len(), forms.len() + 1);
        let all: u32 = world.threads.values().map(|one| one.unread_count).sum();
        prop_assert_eq!(usize::try_from(all).unwrap(), forms.len() + 1);
        prop_assert!(world.messages.values().all(|message| message.direction == Direction::Inbound));
        prop_assert!(world.identifiers.contains_key(&IdentifierKey::User(user("BR.1"))));
    }
}
