//! Raw items, and the content of messages that were taken back: once, in order, and gone from rows and log.

use std::collections::{BTreeSet, HashMap};

use super::*;
use crate::domain::delivery::RenderedBody;
use crate::domain::draft::ErasedMessage;
use crate::domain::inbound::{RawItem, RawRole};
use crate::domain::stored_item::{ItemList, ItemPosition};
use crate::ids::DeliveryId;
use crate::store::Intake;

/// A raw item; equal bodies have equal digests.
pub(super) fn raw(key: &str, role: RawRole, body: &str) -> RawItem {
    let mut digest = [0; 16];
    for (place, byte) in digest.iter_mut().zip(body.bytes()) {
        *place = byte;
    }
    RawItem { wamid_key: text(key), role, body: text(body), card: None, digest }
}

async fn keep(store: &Store, owner: &mut Owner, raw: Vec<RawItem>) {
    store.commit(owner.cycle(AccountChanges { raw, ..AccountChanges::default() })).await.unwrap();
}

async fn bodies(store: &Store, owner: &Owner, key: &str) -> Vec<String> {
    let items = store.raw_items_of(owner.number, key).await.unwrap();
    items.iter().map(|(_, body)| body.to_string()).collect()
}

#[tokio::test]
async fn raw_items_are_kept_once_and_in_order() {
    let (store, _guard) = store().await;
    let (mut owner, other) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    let items =
        [raw("w", RawRole::Status, "z"), raw("w", RawRole::Message, "y"), raw("w", RawRole::Change, "x")];
    keep(&store, &mut owner, items.to_vec()).await;
    keep(&store, &mut owner, vec![items[1].clone(), raw("w", RawRole::Status, "a"), items[0].clone()]).await;
    keep(&store, &mut owner, vec![raw("v", RawRole::Message, "y")]).await;
    assert_eq!(bodies(&store, &owner, "w").await, ["z", "y", "x", "a"]);
    let roles = store.raw_items_of(owner.number, "w").await.unwrap();
    let roles: Vec<RawRole> = roles.into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, [RawRole::Status, RawRole::Message, RawRole::Change, RawRole::Status]);
    assert!(bodies(&store, &other, "w").await.is_empty());
    let carded = RawItem { card: Some(text("{\"wa_id\":\"1\"}")), ..raw("u", RawRole::Status, "t") };
    keep(&store, &mut owner, vec![carded.clone()]).await;
    let keys: BTreeSet<Arc<str>> = ["v", "u", "none"].map(text).into();
    let found = store.find_raw_items(owner.number, &keys).await.unwrap();
    assert_eq!(found, [raw("v", RawRole::Message, "y"), carded]);
    assert!(store.find_raw_items(other.number, &keys).await.unwrap().is_empty());
}

#[tokio::test]
async fn erasure_takes_the_bodies_of_deliveries_and_none_is_written_afterwards() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (_, conversation, _) = thread(&store, &mut owner, 1).await;
    let message = inbound(5, &conversation);
    let other = inbound(6, &conversation);
    store.commit(owner.cycle(Writes::default().message(&message).message(&other).0)).await.unwrap();
    let rows = [1, 2, 3].map(|n| delivery_work::delivery(n.try_into().unwrap(), &owner, n));
    let body = |message: &Message| RenderedBody { message_id: message.id, json: text("{\"secret\":1}") };
    let bodies = HashMap::from([(rows[0].id, body(&message)), (rows[1].id, body(&other))]);
    let ids: Vec<DeliveryId> = rows.iter().map(|row| row.id).collect();
    let account = owner.number;
    let take_in = |from, to, rows| Intake {
        subscriber: delivery_work::SUBSCRIBER,
        account,
        from,
        to,
        deliveries: rows,
        bodies: &bodies,
    };
    assert!(store.take_in(take_in(0, 2, &rows[..2])).await.unwrap());
    assert_eq!(store.delivery_bodies(delivery_work::SUBSCRIBER, &ids).await.unwrap().len(), 2);

    let bare = Message { content: text(""), payload: text("{}"), ..message.clone() };
    let mut changes = Writes::default().message(&bare).0;
    changes.erased.push(ErasedMessage { id: message.id, wamid_key: text("wamid.5") });
    store.commit(owner.cycle(changes)).await.unwrap();
    let left = store.delivery_bodies(delivery_work::SUBSCRIBER, &ids).await.unwrap();
    assert_eq!(left.keys().collect::<Vec<_>>(), [&rows[1].id]);

    // A worker that rendered the body before the message was taken back comes too late, as does a replay.
    let late = HashMap::from([(rows[2].id, body(&message)), (rows[0].id, body(&message))]);
    let taken = Intake { from: 2, to: 3, deliveries: &rows[2..], bodies: &late, ..take_in(0, 0, &rows) };
    assert!(store.take_in(taken).await.unwrap());
    store.replay_deliveries(&rows[..1], &late, None).await.unwrap();
    let left = store.delivery_bodies(delivery_work::SUBSCRIBER, &ids).await.unwrap();
    assert_eq!(left.keys().collect::<Vec<_>>(), [&rows[1].id]);
}

#[tokio::test]
async fn raw_items_are_paged_with_the_lists_that_they_came_in() {
    let (store, _guard) = store().await;
    let (mut owner, other) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    let (_, conversation, _) = thread(&store, &mut owner, 1).await;
    let of = |n, direction, source, standby| Message {
        direction,
        details: MessageDetails { standby, ..MessageDetails::of_source(source) },
        ..inbound(n, &conversation)
    };
    let call = Message { kind: MessageKind::Call, ..inbound(19, &conversation) };
    let messages = [
        (of(11, Direction::Inbound, MessageSource::Inbound, false), ItemList::Messages),
        (of(12, Direction::Outbound, MessageSource::App, false), ItemList::AppEchoes),
        (of(13, Direction::Outbound, MessageSource::History, false), ItemList::History),
        (of(14, Direction::Inbound, MessageSource::Inbound, true), ItemList::Standby),
        (of(15, Direction::Outbound, MessageSource::Agent, true), ItemList::AgentEchoes),
        (call, ItemList::Calls),
    ];
    let (mut writes, mut items, mut lists) = (Writes::default(), Vec::new(), Vec::new());
    for (message, list) in &messages {
        writes = writes.message(message);
        let role = if *list == ItemList::Calls { RawRole::Change } else { RawRole::Message };
        items.push(raw(message.wamid.as_deref().unwrap(), role, "item"));
        lists.push((message.wamid.as_deref().unwrap().to_owned(), list.clone()));
    }
    for (key, role, list) in [
        ("unknown", RawRole::Status, ItemList::Statuses),
        ("unknown", RawRole::Change, ItemList::Messages),
        ("whatsapp.flows:0a", RawRole::Change, ItemList::Field(text("flows"))),
    ] {
        items.push(raw(key, role, &format!("{list:?}")));
        lists.push((key.to_owned(), list));
    }
    let mut changes = writes.0;
    changes.raw = items;
    store.commit(owner.cycle(changes)).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), ItemPosition::default());
    loop {
        let page = store.page_raw_items(owner.number, &after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.position.clone();
        seen.extend(page.into_iter().map(|item| (item.position.key, item.list)));
    }
    assert_eq!(seen.len(), lists.len());
    assert!(lists.iter().all(|item| seen.contains(item)), "{seen:?}");
    assert!(store.page_raw_items(other.number, &ItemPosition::default(), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn erasure_takes_the_content_from_raw_items_and_the_log() {
    let (store, _guard) = store().await;
    let (mut owner, mut other) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    let (_, conversation, _) = thread(&store, &mut owner, 1).await;
    let (_, twin, _) = thread(&store, &mut other, 1).await;
    let secret = |n, conversation: &Conversation| Message {
        content: text("secret"),
        payload: text(r#"{"body":"secret"}"#),
        details: MessageDetails { referral: Some(text("\"secret\"")), ..MessageDetails::default() },
        ..inbound(n, conversation)
    };
    let message = secret(5, &conversation);
    let edited = EventKind::MessageEdited { message: message.clone(), previous_content: text("secret") };
    let mut changes = Writes::default().message(&message).message(&secret(6, &conversation)).0;
    changes.events.push(edited);
    changes.raw = vec![
        raw("wamid.5", RawRole::Message, "secret"),
        raw("wamid.5", RawRole::Status, "status"),
        raw("wamid.5", RawRole::Change, "revoke"),
        raw("wamid.6", RawRole::Message, "secret"),
    ];
    store.commit(owner.cycle(changes)).await.unwrap();
    store.commit(other.cycle(Writes::default().message(&secret(5, &twin)).0)).await.unwrap();

    let bare = Message {
        content: text(""),
        payload: text("{}"),
        details: MessageDetails { revoked_at: Some(at(9)), ..MessageDetails::default() },
        ..message.clone()
    };
    let mut changes = Writes::default().message(&bare).0;
    changes.events.push(EventKind::MessageRevoked(bare.clone()));
    changes.erased.push(ErasedMessage { id: message.id, wamid_key: text("wamid.5") });
    // The item that took it back came before, and comes again with this commit.
    changes.raw = vec![raw("wamid.5", RawRole::Change, "revoke"), raw("wamid.5", RawRole::Change, "more")];
    store.commit(owner.cycle(changes)).await.unwrap();

    assert_eq!(store.find_message(owner.number, message.id).await.unwrap().as_deref(), Some(&bare));
    let mut left = bodies(&store, &owner, "wamid.5").await;
    left.sort();
    assert_eq!(left, ["more", "revoke", "status"]);
    assert_eq!(bodies(&store, &owner, "wamid.6").await, ["secret"]);
    let blank = Message {
        content: text(""),
        payload: text("{}"),
        details: MessageDetails::default(),
        ..message.clone()
    };
    let events = store.events_after(owner.number, 1, 100).await.unwrap();
    let kinds: Vec<EventKind> = events.into_iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::MessageCreated(blank.clone()),
            EventKind::MessageCreated(secret(6, &conversation)),
            EventKind::MessageEdited { message: blank, previous_content: text("") },
            EventKind::MessageCreated(bare.clone()),
            EventKind::MessageRevoked(bare),
        ]
    );
    let events = store.events_after(other.number, 1, 100).await.unwrap();
    assert_eq!(events[0].kind, EventKind::MessageCreated(secret(5, &twin)), "another account's");
}
