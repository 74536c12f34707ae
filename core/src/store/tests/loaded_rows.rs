//! What is looked up between requests: facts, parked statuses, the backlog, and what is too old.

use rand::SeedableRng as _;

use super::erasure::raw;
use super::*;
use crate::domain::draft::Draft;
use crate::domain::identity::IdentifierKey;
use crate::domain::inbound::RawRole;
use crate::domain::inbound::StatusReport;
use crate::domain::loaded_rows::LoadedRows;
use crate::domain::message::MessageError;
use crate::domain::parked::{ParkedChange, ParkedItem};
use crate::domain::row_needs::{RowNeed, RowNeeds, RowNotLoaded};
use crate::ids::MonotonicIds;
use crate::store::{IdempotencyRecord, PurgeAges};

pub(super) fn report(wamid: &str, status: MessageStatus, ms: i64) -> StatusReport {
    StatusReport {
        wamid: text(wamid),
        echo: None,
        status,
        at: at(ms),
        error: None,
        refuses_account: false,
        recipient: None,
        pricing: None,
    }
}

/// A status that waits for its message.
pub(super) fn waiting(report: &StatusReport) -> ParkedItem {
    let change = ParkedChange::Status(Box::new(report.clone()));
    ParkedItem { wamid_key: report.wamid.clone(), change }
}

/// The items that wait for a message.
pub(super) fn parked(facts: LoadedRows, wamid: &str) -> Vec<ParkedItem> {
    let mut ids = MonotonicIds::new(rand::rngs::StdRng::seed_from_u64(1));
    Draft::new(Arc::new(account(1)), facts, at(1), &mut ids).take_parked(&text(wamid)).unwrap()
}

/// A row that was looked for.
fn row<T: Clone>(found: Result<Option<&Arc<T>>, RowNotLoaded>) -> Option<T> {
    found.unwrap().map(|row| (**row).clone())
}

#[tokio::test]
async fn facts_hold_what_is_needed_and_cost_no_more() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (contact, conversation, pending) = thread(&store, &mut owner, 1).await;
    let (other, far, _) = thread(&store, &mut owner, 2).await;
    let mut writes = Writes::default();
    for n in 3..=5 {
        writes = writes.message(&inbound(n, &conversation));
    }
    let read = Message { status: MessageStatus::Read, ..inbound(6, &conversation) };
    writes = writes.message(&read).message(&inbound(7, &far));
    store.commit(owner.cycle(writes.0)).await.unwrap();
    let number = owner.number;

    let nothing = store.statements_executed();
    store.load_rows(number, &RowNeeds::default(), NO_ERASURE).await.unwrap();
    assert_eq!(store.statements_executed(), nothing);

    let mut needs = RowNeeds { messages: [pending.id].into(), ..RowNeeds::default() };
    let facts = store.load_rows(number, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(store.statements_executed(), nothing + 1);
    assert_eq!(row(facts.find_message(pending.id)), Some(pending.clone()));
    assert_eq!(
        facts.find_conversation(conversation.id).unwrap_err().0,
        RowNeed::Conversation(conversation.id)
    );

    needs.wamids.extend([text("wamid.3"), text("wamid.404")]);
    let facts = store.load_rows(number, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(row(facts.find_message(pending.id)), Some(pending.clone()));
    assert_eq!(row(facts.message_of(&text("wamid.3"))), Some(inbound(3, &conversation)));
    assert_eq!(facts.message_of(&text("wamid.404")), Ok(None), "looked for, and absent");
    assert!(facts.message_of(&text("wamid.4")).is_err(), "not looked for");

    let last = inbound(5, &conversation).id;
    assert!(facts.unread_up_to(conversation.id, last).is_err(), "one of them is known, not all");
    let unread = RowNeeds { unread: [conversation.id].into(), ..RowNeeds::default() };
    let facts = store.load_rows(number, &unread, NO_ERASURE).await.unwrap();
    let ids: Vec<MessageId> = (3..=5).map(|n| inbound(n, &conversation).id).collect();
    assert_eq!(facts.unread_up_to(conversation.id, last), Ok(ids));
    assert!(facts.unread_up_to(far.id, last).is_err());

    let (own, unknown) = (IdentifierKey::Number(phone(1)), IdentifierKey::Number(phone(404)));
    for needs in [
        RowNeeds { identifiers: [own.clone(), unknown.clone()].into(), ..RowNeeds::default() },
        RowNeeds {
            contacts: [contact.id].into(),
            identifiers: [unknown.clone()].into(),
            ..RowNeeds::default()
        },
    ] {
        let before = store.statements_executed();
        let facts = store.load_rows(number, &needs, NO_ERASURE).await.unwrap();
        assert_eq!(store.statements_executed(), before + 2, "contacts, and their conversations");
        assert_eq!(row(facts.find_contact(contact.id)), Some(contact.clone()));
        assert_eq!(facts.contact_of(&own), Ok(Some(contact.id)));
        assert_eq!(row(facts.conversation_of(contact.id)), Some(conversation.clone()));
        assert!(facts.find_contact(other.id).is_err() && facts.contact_of(&unknown) == Ok(None));
    }
    let alone = super::contact(9);
    store.commit(owner.cycle(Writes::default().contact(&alone).0)).await.unwrap();
    let needs = RowNeeds { contacts: [alone.id].into(), ..RowNeeds::default() };
    let facts = store.load_rows(number, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(facts.conversation_of(alone.id), Ok(None), "looked for, and absent");
    let needs = RowNeeds { conversations: [far.id].into(), ..RowNeeds::default() };
    let facts = store.load_rows(number, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(row(facts.find_conversation(far.id)), Some(far));
    let needs = RowNeeds {
        messages: [pending.id].into(),
        identifiers: [own.clone()].into(),
        contacts: [contact.id].into(),
        ..RowNeeds::default()
    };
    let foreign = store.load_rows(number + 1, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(foreign.find_message(pending.id), Ok(None));
    assert_eq!((foreign.find_contact(contact.id), foreign.contact_of(&own)), (Ok(None), Ok(None)));
}

#[tokio::test]
async fn statuses_wait_for_their_message() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let error = MessageError { code: text("x"), message: text("y"), provider_code: Some(131_047) };
    let failed = StatusReport {
        echo: Some(MessageId::from_bits(ulid(1, 1))),
        error: Some(error),
        ..report("w.1", MessageStatus::Failed, 3)
    };
    let sent = report("w.1", MessageStatus::Sent, 2);
    let other = report("w.2", MessageStatus::Sent, 2);
    let (failed, sent, other) = (waiting(&failed), waiting(&sent), waiting(&other));
    let parked_now = vec![failed.clone(), sent.clone(), other.clone()];
    store
        .commit(owner.cycle(AccountChanges { parked: parked_now, ..AccountChanges::default() }))
        .await
        .unwrap();
    let needs = RowNeeds { parked: [text("w.1"), text("w.2"), text("w.3")].into(), ..RowNeeds::default() };
    let facts = store.load_rows(owner.number, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(parked(facts.clone(), "w.1"), [sent, failed]);
    assert_eq!(parked(facts.clone(), "w.2"), std::slice::from_ref(&other));
    assert_eq!(parked(facts, "w.3"), []);

    let gone = AccountChanges { unparked: vec![text("w.1")], ..AccountChanges::default() };
    store.commit(owner.cycle(gone)).await.unwrap();
    let facts = store.load_rows(owner.number, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(parked(facts.clone(), "w.1"), []);
    assert_eq!(parked(facts, "w.2"), [other]);
    assert!(
        store.activate_account(owner.number, NODE, 9, CommitFloor::NONE).await.unwrap().unwrap().has_parked
    );
}

#[tokio::test]
async fn the_backlog_is_served_oldest_first_and_when_due() {
    let (store, _guard) = store().await;
    let (mut owner, mut idle) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    assert!(store.unserved_with_pending(NODE).await.unwrap().is_empty());
    assert_eq!(store.next_due(owner.number).await.unwrap(), None);
    let (_, _, sent) = thread(&store, &mut idle, 1).await;
    let sent = Message { status: MessageStatus::Sent, next_attempt_at: None, ..sent };
    store.commit(idle.cycle(Writes::default().message(&sent).0)).await.unwrap();
    let mut writes = Writes::default();
    let mut conversations = Vec::new();
    for (n, due) in [(1, 50), (2, 500), (3, 40), (4, 60)] {
        let (_, conversation, first) = thread(&store, &mut owner, n).await;
        writes = writes.message(&Message { next_attempt_at: Some(due_at(due)), ..first });
        conversations.push(conversation);
    }
    // A later message of a conversation waits for the earlier one, though it is due.
    writes = writes.message(&Message { next_attempt_at: Some(due_at(1)), ..message(5, &conversations[1]) });
    store.commit(owner.cycle(writes.0)).await.unwrap();

    let number = owner.number;
    let due = async |by, limit| -> Vec<i64> {
        let rows = store.load_queue(number, at(by), at(450), limit).await.unwrap();
        rows.iter().map(|row| i64::try_from(row.id.bits() >> 80).unwrap()).collect()
    };
    assert_eq!(due(39, 10).await, [2], "due after all that a schedule asks for");
    assert_eq!(due(60, 10).await, [1, 2, 3, 4]);
    assert_eq!(due(60, 2).await, [1, 2]);
    assert_eq!(due(500, 10).await, [1, 2, 3, 4]);
    assert_eq!(store.next_due(owner.number).await.unwrap(), Some(due_at(40)));
    let named: Vec<_> = conversations.iter().map(|conversation| conversation.id).collect();
    let next = store.next_of(number, &named[1..3]).await.unwrap();
    let mut next: Vec<_> =
        next.iter().map(|row| (row.next_attempt_at.to_row(), row.conversation_id)).collect();
    next.sort();
    assert_eq!(next, [(at(40), named[2]), (at(500), named[1])], "the oldest of each, due or not");
    assert!(store.next_of(idle.number, &named).await.unwrap().is_empty());
    let (_, _, second) = thread(&store, &mut owner, 2).await;
    let second = Message { status: MessageStatus::Sent, next_attempt_at: None, ..second };
    store.commit(owner.cycle(Writes::default().message(&second).0)).await.unwrap();
    assert_eq!(due(39, 10).await, [5], "its turn has come");
    assert_eq!(store.next_due(owner.number).await.unwrap(), Some(due_at(1)));
    assert_eq!(store.next_due(idle.number).await.unwrap(), None);
    assert_eq!(store.unserved_with_pending(NODE).await.unwrap(), [owner.number]);
}

#[tokio::test]
async fn a_held_message_is_not_sent_and_holds_up_no_other() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (_, conversation, held) = thread(&store, &mut owner, 1).await;
    let held = Message { next_attempt_at: None, ..held };
    store.commit(owner.cycle(Writes::default().message(&held).0)).await.unwrap();
    let number = owner.number;
    let active = store.activate_account(number, NODE, 9, CommitFloor::NONE).await.unwrap().unwrap();
    assert!(!active.has_pending);
    owner.epoch = active.epoch;
    assert!(store.unserved_with_pending(NODE).await.unwrap().is_empty());
    assert_eq!(store.next_due(number).await.unwrap(), None);
    assert!(store.load_queue(number, at(99), at(450), 9).await.unwrap().is_empty());

    let next = message(2, &conversation);
    store.commit(owner.cycle(Writes::default().message(&next).0)).await.unwrap();
    let waiting = next.as_waiting().unwrap();
    assert_eq!(store.load_queue(number, at(99), at(450), 9).await.unwrap(), [waiting]);
    assert_eq!(store.next_of(number, &[conversation.id]).await.unwrap(), [waiting]);
    assert_eq!(store.next_due(number).await.unwrap(), next.next_attempt_at);
    assert_eq!(store.unserved_with_pending(NODE).await.unwrap(), [number]);
}

#[tokio::test]
async fn what_is_too_old_goes_in_steps_and_the_rest_stays() {
    const STALE: usize = 1200;
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let old = AccountChanges {
        events: vec![EventKind::ContactCreated(contact(1)); STALE],
        parked: vec![waiting(&report("w.old", MessageStatus::Sent, 1))],
        raw: vec![raw("w.old", RawRole::Status, "old")],
        ..AccountChanges::default()
    };
    let mut commit = owner.cycle(old);
    let born = commit.at;
    let record = |key: &str, created_at| IdempotencyRecord {
        organisation_id: OrganisationId::from_bits(1),
        key: text(key),
        fingerprint: [0; 32],
        status: 200,
        body: "{}".into(),
        created_at,
        claimed_by: None,
        contact_id: None,
    };
    commit.records = vec![record("old", born), record("new", born.next())];
    store.commit(commit).await.unwrap();
    let new = AccountChanges {
        events: vec![EventKind::ContactUpdated(contact(1))],
        parked: vec![waiting(&report("w.new", MessageStatus::Sent, 1))],
        raw: vec![raw("w.new", RawRole::Status, "new")],
        ..AccountChanges::default()
    };
    store.commit(owner.cycle(new)).await.unwrap();

    let ages = PurgeAges::default();
    assert_eq!(store.purge_rows(born.plus_duration(ages.idempotency_records), &ages).await.unwrap(), 0);
    let now = born.next().plus_duration(ages.idempotency_records);
    assert_eq!(store.purge_rows(now, &ages).await.unwrap(), 1);
    let now = born.next().plus_duration(ages.parked_items);
    assert_eq!(store.purge_rows(now, &ages).await.unwrap(), 2);
    assert_eq!(ages.events, ages.raw_items);
    let now = born.next().plus_duration(ages.events);
    assert_eq!(store.purge_rows(now, &ages).await.unwrap(), 1002, "events, and raw items");
    assert!(store.raw_items_of(owner.number, "w.old").await.unwrap().is_empty());
    assert_eq!(store.raw_items_of(owner.number, "w.new").await.unwrap().len(), 1);
    let left: Vec<i64> =
        store.events_after(owner.number, 0, 9999).await.unwrap().iter().map(|event| event.sequence).collect();
    assert_eq!(left, (1001..=1201).collect::<Vec<i64>>());
    assert_eq!(store.purge_rows(now, &ages).await.unwrap(), 200);
    assert_eq!(store.purge_rows(now, &ages).await.unwrap(), 0);
    assert_eq!(store.events_after(owner.number, 0, 9).await.unwrap().len(), 1);
}
