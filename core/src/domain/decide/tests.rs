//! Rules, by example and by law: duplicates, disorder, windows, reading, renames.

mod erasures;
mod identities;
mod items;
mod loading;
mod sends;
mod templates;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use crate::domain::account::{AccountPatch, AccountProfile, AccountStatus};
use crate::domain::command::{AccountCommand, CommandRefusal, CommandReply, ConversationPatch};
use crate::domain::contact::{ContactPatch, NewContact, NewIdentifier};
use crate::domain::conversation::ConversationStatus;
use crate::domain::due_time::DueTime;
use crate::domain::inbound::InboundFact;
use crate::domain::message::{Message, MessageError, MessageKind, SendOutcome};
use crate::domain::read_receipt::ReadReceipt;
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;
use world::{
    START_MS, World, accepted, inbound, item, message_item, outgoing, phone, report, send, status_report,
    text,
};

#[test]
fn an_inbound_message_makes_contact_and_thread_once() {
    let mut world = World::new();
    world.ingest(vec![inbound("a"), inbound("a"), inbound("b")]);
    let thread = world.thread();
    assert_eq!((thread.unread_count, thread.status), (2, ConversationStatus::Open));
    assert_eq!(thread.contact.name.as_deref(), Some("Rani"));
    assert_eq!(thread.last_message_at, Some(world.now));
    assert_eq!(thread.last_inbound_at, Some(Timestamp::from_millis(START_MS)));
    let expected = ["contact.created", "conversation.created", "message.received", "message.received"];
    assert_eq!(world.events, expected);
    assert!(world.ingest(vec![inbound("b"), inbound("a")]).is_empty(), "duplicates change nothing");
}

#[test]
fn messages_of_the_future_and_the_past_are_held_to_the_clock() {
    let mut world = World::new();
    world.ingest(vec![message_item(text("a", START_MS + 3_600_000))]);
    assert_eq!(world.thread().last_inbound_at, Some(world.now));
    let newest = world.thread().last_inbound_at;
    world.ingest(vec![message_item(text("b", START_MS - 3_600_000))]);
    assert_eq!(world.thread().last_inbound_at, newest, "an older message does not shorten the window");
    assert_eq!(world.thread().last_message_at, Some(world.now));
}

#[test]
fn an_inbound_message_reopens_a_resolved_thread() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = world.thread().id;
    let resolve = AccountCommand::PatchConversation(ConversationPatch {
        id,
        status: Some(ConversationStatus::Resolved),
        assignee: None,
    });
    world.run(&resolve).0.unwrap();
    assert!(world.run(&resolve).1.is_empty(), "the same patch twice changes nothing");
    world.ingest(vec![inbound("b")]);
    assert_eq!(world.thread().status, ConversationStatus::Open);
    assert_eq!(world.events.iter().filter(|e| *e == "conversation.closed").count(), 1);
    assert_eq!(world.events.last().map(String::as_str), Some("conversation.updated"));
}

#[test]
fn a_shut_window_refuses_and_templates_need_none() {
    let mut world = World::new();
    // A contact of whom nothing is known: WhatsApp decides.
    assert!(world.run(&AccountCommand::Send(outgoing(MessageKind::Text))).0.is_ok());
    world.ingest(vec![inbound("a")]);
    send(&mut world);
    let hours = |hours| Timestamp::from_millis(START_MS).plus_duration(Duration::from_hours(hours));
    world.now = hours(24).minus_duration(Duration::from_millis(2));
    send(&mut world);
    assert_eq!(
        world.run(&AccountCommand::Send(outgoing(MessageKind::Text))).0,
        Err(CommandRefusal::OutsideWindow)
    );
    assert!(world.run(&AccountCommand::Send(outgoing(MessageKind::Template))).0.is_ok());
    // A number that was connected a moment ago may have missed a newer message.
    let connected = world.account.created_at;
    std::sync::Arc::make_mut(&mut world.account).created_at = hours(23);
    send(&mut world);
    std::sync::Arc::make_mut(&mut world.account).created_at = connected;
    let disconnect = AccountPatch { status: Some(AccountStatus::Disconnected), ..AccountPatch::default() };
    world.run(&AccountCommand::Configure(disconnect)).0.unwrap();
    let refused = world.run(&AccountCommand::Send(outgoing(MessageKind::Template))).0;
    assert_eq!(refused, Err(CommandRefusal::AccountNotConnected(AccountStatus::Disconnected)));
}

#[test]
fn a_send_is_recorded_and_a_late_or_early_status_finds_it() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = send(&mut world);
    // The status comes before the answer to the send.
    let parked = world.ingest(vec![report("out", MessageStatus::Delivered, START_MS + 7)]);
    assert_eq!(parked.parked.len(), 1);
    assert!(world.ingest(vec![report("out", MessageStatus::Delivered, START_MS + 7)]).is_empty());
    let (_, changes) = world.run(&AccountCommand::RecordSends(vec![(id, accepted("out"))]));
    assert_eq!(changes.unparked.len(), 1);
    let message = world.message(id);
    assert_eq!(message.status, MessageStatus::Delivered);
    assert_eq!(message.history.time_of(MessageStatus::Delivered), Some(Timestamp::from_millis(START_MS + 7)));
    assert_eq!(message.next_attempt_at, None);
    // WhatsApp's own time replaces ours, once.
    world.ingest(vec![report("out", MessageStatus::Sent, START_MS + 5)]);
    assert_eq!(
        world.message(id).history.time_of(MessageStatus::Sent),
        Some(Timestamp::from_millis(START_MS + 5))
    );
    assert!(world.ingest(vec![report("out", MessageStatus::Sent, START_MS + 6)]).is_empty());
    assert_eq!(world.message(id).status, MessageStatus::Delivered);
}

#[test]
fn a_report_that_moves_nothing_is_told_once() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = send(&mut world);
    world.run(&AccountCommand::RecordSends(vec![(id, accepted("out"))])).0.unwrap();
    let mut told = |status, at_ms| {
        let changes = world.ingest(vec![report("out", status, at_ms)]);
        changes.events.iter().map(|event| event.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(MessageStatus::Sent, START_MS), ["message.status_reported"]);
    assert!(told(MessageStatus::Sent, START_MS + 1).is_empty());
    assert_eq!(told(MessageStatus::Read, START_MS + 3), ["message.status"]);
    assert_eq!(told(MessageStatus::Delivered, START_MS + 2), ["message.status_reported"]);
    assert_eq!(told(MessageStatus::Played, START_MS + 4), ["message.status_reported"]);
    assert!(told(MessageStatus::Played, START_MS + 4).is_empty());
}

#[test]
fn an_echo_settles_a_send_whose_answer_was_lost() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = send(&mut world);
    let mut echo = status_report("out", MessageStatus::Sent, START_MS);
    echo.echo = Some(id);
    world.ingest(vec![item(InboundFact::Status(Box::new(echo)))]);
    let message = world.message(id);
    assert_eq!(
        (message.status, message.wamid.as_deref(), message.next_attempt_at),
        (MessageStatus::Sent, Some("out"), None)
    );
}

#[test]
fn refusals_retries_and_a_refused_account() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = send(&mut world);
    let wait = Duration::from_secs(2);
    world.run(&AccountCommand::RecordSends(vec![(id, SendOutcome::Retry { wait })])).0.unwrap();
    assert_eq!(
        (world.message(id).status, world.message(id).next_attempt_at),
        (MessageStatus::Pending, Some(DueTime::after_wait(world.now, wait)))
    );
    // Whoever waits for an echo waits from the commit on, not from the call.
    let settle = Duration::from_mins(1);
    world.run(&AccountCommand::RecordSends(vec![(id, SendOutcome::Unknown { settle })])).0.unwrap();
    assert_eq!(world.message(id).next_attempt_at, Some(DueTime::after_wait(world.now, settle)));
    let error =
        MessageError { code: "whatsapp_error".into(), message: "token".into(), provider_code: Some(190) };
    world
        .run(&AccountCommand::RecordSends(vec![(id, SendOutcome::AccountRefused(error.clone()))]))
        .0
        .unwrap();
    assert_eq!((world.message(id).status, world.message(id).error.as_ref()), (MessageStatus::Pending, None));
    assert_eq!(world.account.status, AccountStatus::Degraded);
    assert_eq!(world.account.status_reason.as_deref(), Some("token"));
    check_recovery(&mut world, id, &error);
    world.run(&AccountCommand::RecordSends(vec![(id, SendOutcome::Refused(error.clone()))])).0.unwrap();
    assert_eq!(
        (world.message(id).status, world.message(id).error.as_ref()),
        (MessageStatus::Failed, Some(&error))
    );
    // WhatsApp delivered it after all.
    let mut late = status_report("out", MessageStatus::Delivered, START_MS);
    late.echo = Some(id);
    world.ingest(vec![item(InboundFact::Status(Box::new(late)))]);
    assert_eq!((world.message(id).status, &world.message(id).error), (MessageStatus::Delivered, &None));
}

/// WhatsApp is asked after 1, 5, … minutes; the first message then goes alone, and another refusal of it goes on
/// with the next wait.
fn check_recovery(world: &mut World, id: crate::ids::MessageId, error: &MessageError) {
    let waits = |world: &World| world.account.recovery.unwrap().next_at.duration_since(world.now).unwrap();
    let minutes = |minutes| Duration::from_mins(minutes);
    assert_eq!(waits(world), minutes(1));
    world.run(&AccountCommand::RecordProbe(None)).0.unwrap();
    assert_eq!(waits(world), minutes(5));
    world.run(&AccountCommand::RecordProbe(Some(AccountProfile::default()))).0.unwrap();
    assert_eq!((world.account.status, &world.account.status_reason), (AccountStatus::Connected, &None));
    assert!(world.account.recovery.unwrap().trial);
    world
        .run(&AccountCommand::RecordSends(vec![(id, SendOutcome::AccountRefused(error.clone()))]))
        .0
        .unwrap();
    assert_eq!((world.account.status, waits(world)), (AccountStatus::Degraded, minutes(15)));
    for _ in 0..4 {
        world.run(&AccountCommand::RecordProbe(None)).0.unwrap();
    }
    assert_eq!(waits(world), minutes(60));
    let token = AccountPatch {
        access_token: Some(crate::domain::account::Secret::new("new")),
        ..AccountPatch::default()
    };
    world.run(&AccountCommand::Configure(token)).0.unwrap();
    assert_eq!((world.account.status, world.account.recovery), (AccountStatus::Connected, None));
}

#[test]
fn reading_covers_earlier_messages_only() {
    let mut world = World::new();
    world.ingest(vec![inbound("a"), inbound("b")]);
    world.ingest(vec![inbound("c")]);
    let (result, changes) =
        world.run(&AccountCommand::MarkRead(ReadReceipt { wamid: "b".into(), typing: false }));
    assert!(matches!(result, Ok(CommandReply::Message(m)) if m.status == MessageStatus::Read));
    let receipt = |typing| ReadReceipt { wamid: "b".into(), typing };
    assert_eq!(changes.read_receipts, [receipt(false)]);
    assert_eq!((changes.messages.len(), world.thread().unread_count), (2, 1));
    let (_, changes) = world.run(&AccountCommand::MarkRead(receipt(true)));
    assert!(changes.is_empty(), "nothing to write");
    assert_eq!(changes.read_receipts, [receipt(true)], "the contact is shown it all the same");
    assert!(
        world.run(&AccountCommand::MarkRead(ReadReceipt { wamid: "a".into(), typing: false })).1.is_empty(),
        "read already"
    );
    assert_eq!(
        world.run(&AccountCommand::MarkRead(ReadReceipt { wamid: "z".into(), typing: false })).0,
        Err(CommandRefusal::NoMessage)
    );
}

#[test]
fn a_rename_changes_the_thread_and_a_known_number_is_refused() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = world.thread().contact.id;
    let rename = |name: &str| AccountCommand::PatchContact {
        id,
        patch: ContactPatch { name: Some(Some(name.into())), ..ContactPatch::default() },
    };
    world.run(&rename("Bayu")).0.unwrap();
    assert_eq!(world.thread().contact.name.as_deref(), Some("Bayu"));
    assert!(world.run(&rename("Bayu")).1.is_empty());
    world.ingest(vec![inbound("b")]);
    assert_eq!(
        world.thread().contact.name.as_deref(),
        Some("Bayu"),
        "a profile name does not replace a given one"
    );
    let known = NewContact {
        identifier: NewIdentifier::Phone(phone("+6281200000001")),
        name: None,
        email: None,
        metadata: None,
    };
    assert_eq!(world.run(&AccountCommand::CreateContact(known)).0, Err(CommandRefusal::ContactExists(id)));
}

fn status() -> impl Strategy<Value = MessageStatus> {
    proptest::sample::select(&[
        MessageStatus::Sent,
        MessageStatus::Delivered,
        MessageStatus::Read,
        MessageStatus::Failed,
    ])
}

proptest! {
    /// However WhatsApp orders, repeats and batches its reports, and wherever the answer to the send
    /// falls among them, the message ends the same.
    #[test]
    fn reports_commute(reports in proptest::collection::vec((status(), 0_i64..4), 1..8), answer in 0_usize..8, swap in any::<prop::sample::Index>()) {
        let end = |reports: &[(MessageStatus, i64)], answer: usize| {
            let mut world = World::new();
            world.ingest(vec![inbound("a")]);
            let id = send(&mut world);
            for (n, (status, at)) in reports.iter().enumerate() {
                if n == answer.min(reports.len() - 1) {
                    world.run(&AccountCommand::RecordSends(vec![(id, accepted("out"))])).0.unwrap();
                }
                world.ingest(vec![report("out", *status, START_MS + at)]);
            }
            let message = world.message(id);
            (message.status, message.error.is_some(), message.wamid.clone())
        };
        let mut other = reports.clone();
        let n = swap.index(other.len());
        other.swap(0, n);
        prop_assert_eq!(end(&reports, answer), end(&other, 0));
    }
}
