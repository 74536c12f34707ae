//! What items do beyond their own row: the contract's table of kinds, edits, revocations, reactions, calls.

use proptest::prelude::*;

use super::*;
use crate::domain::identity::Party;
use crate::domain::inbound::{
    CallReport, InboundItem, InboundMessage, ItemOwner, MessageEdit, MessageRevoke, RawItem, RawRole,
};
use crate::domain::message::Direction;
use crate::domain::message_details::{MessageSource, ReactionSide, ReactionTo};
use crate::domain::wamid::wamid_key;

fn raw(wamid: &str, role: RawRole, digest: u8) -> RawItem {
    RawItem {
        wamid_key: wamid_key(wamid),
        role,
        card: None,
        body: format!("{{\"n\":{digest}}}").into(),
        digest: [digest; 16],
    }
}

fn edit(wamid: &str, content: &str, at_ms: i64) -> InboundItem {
    let edit = MessageEdit {
        wamid: wamid.into(),
        at: Timestamp::from_millis(at_ms),
        kind: MessageKind::Text,
        content: content.into(),
        payload: format!(r#"{{"body":"{content}"}}"#).into(),
    };
    InboundItem { fact: InboundFact::Edit(edit), raw: Some(raw(wamid, RawRole::Change, 2)) }
}

fn revoke(wamid: &str, at_ms: i64) -> InboundItem {
    let revoke = MessageRevoke { wamid: wamid.into(), at: Timestamp::from_millis(at_ms) };
    InboundItem { fact: InboundFact::Revoke(revoke), raw: Some(raw(wamid, RawRole::Change, 3)) }
}

fn reaction(wamid: &str, to: &str, emoji: Option<&str>, at_ms: i64) -> InboundItem {
    message_item(InboundMessage {
        kind: MessageKind::Reaction,
        reaction: Some(ReactionTo { wamid: to.into(), emoji: emoji.map(Into::into) }),
        ..text(wamid, at_ms)
    })
}

fn call(at_ms: i64, ended: bool, missed: bool) -> InboundItem {
    item(InboundFact::Call(Box::new(CallReport {
        call_id: "wacid.1".into(),
        party: Party::of_phone(phone("+6281200000001")),
        direction: Direction::Inbound,
        at: Timestamp::from_millis(at_ms),
        ended,
        missed,
        content: if missed { "[missed call]" } else { "[call]" }.into(),
        payload: format!(r#"{{"ended":{ended}}}"#).into(),
    })))
}

fn resolve(world: &mut World) {
    let resolve = AccountCommand::PatchConversation(ConversationPatch {
        id: world.thread().id,
        status: Some(ConversationStatus::Resolved),
        assignee: None,
    });
    world.run(&resolve).0.unwrap();
}

fn only(world: &World) -> &Message {
    assert_eq!(world.messages.len(), 1);
    world.messages.values().next().unwrap()
}

#[test]
fn an_edit_replaces_the_content_and_nothing_else() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    resolve(&mut world);
    let changes = world.ingest(vec![edit("a", "three", START_MS + 1)]);
    assert_eq!(changes.raw.len(), 1);
    let message = only(&world);
    assert_eq!((&*message.content, &*message.payload), ("three", r#"{"body":"three"}"#));
    assert!(message.details.edited_at.is_some());
    assert_eq!((world.thread().unread_count, world.thread().status), (1, ConversationStatus::Resolved));
    assert_eq!(world.events.last().map(String::as_str), Some("message.edited"));
    assert!(world.ingest(vec![edit("a", "three", START_MS + 1)]).events.is_empty(), "the same edit again");
    assert!(world.ingest(vec![edit("a", "old", START_MS)]).events.is_empty(), "an older edit");
}

#[test]
fn a_revocation_removes_the_content_from_everything() {
    let mut world = World::new();
    let mut first = inbound("a");
    first.raw = Some(raw("a", RawRole::Message, 1));
    // All of it in one commit: no event of the commit shows the content either.
    let changes = world.ingest(vec![first, edit("a", "secret", START_MS + 1), revoke("a", START_MS + 2)]);
    let message = only(&world);
    assert_eq!((&*message.content, &*message.payload), ("", "{}"));
    assert!(message.details.revoked_at.is_some());
    assert_eq!(changes.erased.len(), 1);
    assert_eq!(changes.raw.len(), 1, "of the raw items the revocation is left");
    assert!(
        !format!("{:?}", changes.events).contains("secret")
            && !format!("{:?}", changes.events).contains("\"hi\"")
    );
    assert!(world.ingest(vec![edit("a", "again", START_MS + 9)]).events.is_empty());
    assert!(world.ingest(vec![revoke("a", START_MS + 9)]).events.is_empty());
}

#[test]
fn a_reaction_shows_on_its_message_and_raises_nothing() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = send(&mut world);
    world.run(&AccountCommand::RecordSends(vec![(id, accepted("out"))])).0.unwrap();
    resolve(&mut world);
    world.ingest(vec![reaction("r1", "out", Some("👍"), START_MS + 5)]);
    let reactions = |world: &World| world.message(id).details.reactions.clone();
    assert_eq!(reactions(&world).len(), 1);
    assert_eq!(
        (reactions(&world)[0].emoji.as_deref(), reactions(&world)[0].from),
        (Some("👍"), ReactionSide::Contact)
    );
    assert_eq!((world.thread().unread_count, world.thread().status), (1, ConversationStatus::Resolved));
    assert_eq!(world.thread().last_inbound_at, Some(Timestamp::from_millis(START_MS + 5).min(world.now)));
    world.ingest(vec![reaction("r2", "out", Some("❤"), START_MS + 6)]);
    assert_eq!(reactions(&world).len(), 1, "a second emoji of one side replaces the first");
    world.ingest(vec![reaction("r3", "out", None, START_MS + 7)]);
    world.ingest(vec![reaction("r4", "out", Some("👍"), START_MS + 6)]);
    assert!(reactions(&world).iter().all(|one| one.emoji.is_none()), "a late emoji does not come back");
}

#[test]
fn a_call_is_one_message_and_counts_when_it_was_missed() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    resolve(&mut world);
    world.ingest(vec![call(START_MS + 1, false, false)]);
    assert_eq!((world.thread().unread_count, world.thread().status), (1, ConversationStatus::Resolved));
    world.ingest(vec![call(START_MS + 2, true, true)]);
    assert_eq!((world.thread().unread_count, world.thread().status), (2, ConversationStatus::Open));
    assert_eq!(world.messages.len(), 2);
    let before = world.thread().clone();
    world.ingest(vec![call(START_MS + 2, true, true), call(START_MS + 1, false, false)]);
    assert_eq!((world.thread(), world.messages.len()), (&before, 2));
    world.run(&AccountCommand::MarkRead(ReadReceipt { wamid: "wacid.1".into(), typing: false })).0.unwrap();
    assert_eq!(world.thread().unread_count, 0);
}

#[test]
fn the_history_raises_nothing_and_shows_whatsapps_times() {
    let mut world = World::new();
    let old = |wamid: &str, direction, at_ms| {
        message_item(InboundMessage {
            direction,
            source: MessageSource::History,
            past_status: Some(MessageStatus::Read),
            ..text(wamid, at_ms)
        })
    };
    let day = 86_400_000;
    let chunk = || {
        vec![
            old("h1", Direction::Inbound, START_MS - 40 * day),
            old("h2", Direction::Outbound, START_MS - 39 * day),
        ]
    };
    world.ingest(chunk());
    assert_eq!((world.thread().unread_count, world.thread().last_inbound_at), (0, None));
    assert_eq!(world.thread().last_message_at, Some(Timestamp::from_millis(START_MS - 39 * day)));
    assert!(world.messages.values().all(|message| message.status == MessageStatus::Read));
    assert!(world.ingest(chunk()).is_empty(), "the same webhook again changes nothing");
    world.ingest(vec![inbound("new")]);
    let newest = world.thread().last_message_at;
    world.ingest(vec![old("h3", Direction::Inbound, START_MS - day)]);
    assert_eq!(world.thread().last_message_at, newest, "the history does not set it back or ahead");
}

#[test]
fn an_echo_of_the_phone_is_outbound_and_reopens_nothing() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    resolve(&mut world);
    let echo = || {
        message_item(InboundMessage {
            direction: Direction::Outbound,
            source: MessageSource::App,
            ..text("e", START_MS + 3)
        })
    };
    world.ingest(vec![echo()]);
    assert!(world.ingest(vec![echo()]).is_empty());
    assert_eq!((world.thread().unread_count, world.thread().status), (1, ConversationStatus::Resolved));
    let message = world.messages.values().find(|message| message.direction == Direction::Outbound).unwrap();
    assert_eq!((message.status, message.to.as_str()), (MessageStatus::Sent, "+6281200000001"));
    world.ingest(vec![report("e", MessageStatus::Delivered, START_MS + 4)]);
    let message = world.messages.values().find(|message| message.direction == Direction::Outbound).unwrap();
    assert_eq!(message.status, MessageStatus::Delivered);
}

#[test]
fn a_quote_shows_the_form_of_the_id_that_is_stored() {
    let stored = "wamid.HBgNNjI4MTI0MzQwMjY2MBUCABIYFDNFQjBDMEZGRUUxMjM0NTY3ODkwAA==";
    let quoted = "wamid.HBgNSUQuOTk4ODc3NjY1NRUCABIYFDNFQjBDMEZGRUUxMjM0NTY3ODkwAA==";
    let mut world = World::new();
    world.ingest(vec![inbound(stored)]);
    let context = crate::domain::message_details::MessageContext::of_answer(quoted.into());
    world.ingest(vec![message_item(InboundMessage { context: Some(context), ..text("answer", START_MS) })]);
    let answer = world.messages.values().find(|message| message.context.is_some()).unwrap();
    assert_eq!(answer.context.as_ref().unwrap().message_id.as_deref(), Some(stored));
    assert!(
        world.run(&AccountCommand::MarkRead(ReadReceipt { wamid: quoted.into(), typing: false })).0.is_ok()
    );
}

proptest! {
    /// The items of one message, in any order, in any batches and twice, leave the same message.
    #[test]
    fn items_of_one_message_commute(
        order in Just(vec![0_usize, 1, 2, 3, 4, 5, 6]).prop_shuffle(),
        batch in 1_usize..4,
    ) {
        let item_at = |place: usize| match place {
            0 => message_item(InboundMessage {
                owner: ItemOwner::Person(Party::of_phone(phone("+6281200000001"))),
                direction: Direction::Outbound,
                source: MessageSource::App,
                ..text("m", START_MS)
            }),
            1 => edit("m", "first", START_MS + 1),
            2 => edit("m", "second", START_MS + 2),
            3 => reaction("r1", "m", Some("👍"), START_MS + 3),
            4 => reaction("r2", "m", None, START_MS + 4),
            5 => report("m", MessageStatus::Delivered, START_MS + 5),
            _ => report("m", MessageStatus::Played, START_MS + 6),
        };
        let run = |order: &[usize], batch: usize| {
            let mut world = World::new();
            world.now = Timestamp::from_millis(START_MS + 100);
            for chunk in order.chunks(batch) {
                world.ingest(chunk.iter().map(|place| item_at(*place)).collect());
            }
            let message = world.messages.values().find(|message| message.kind == MessageKind::Text).unwrap();
            let mut history: Vec<_> = message.history.iter().map(|seen| (seen.status, seen.at)).collect();
            history.sort();
            (message.content.clone(), message.status, message.details.clone(), history)
        };
        let twice: Vec<usize> = order.iter().chain(&order).copied().collect();
        let expected = run(&[0, 1, 2, 3, 4, 5, 6], 1);
        prop_assert_eq!(run(&order, batch), expected.clone());
        prop_assert_eq!(run(&twice, batch), expected);
    }
}
