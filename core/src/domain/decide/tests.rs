//! Rules, by example and by law: duplicates, disorder, windows, reading, renames.

mod loading;
mod sends;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use crate::domain::account::{AccountPatch, AccountStatus};
use crate::domain::command::{AccountCommand, CommandRefusal, CommandReply, ConversationPatch};
use crate::domain::contact::{ContactPatch, NewContact};
use crate::domain::conversation::ConversationStatus;
use crate::domain::due_time::DueTime;
use crate::domain::message::{InboundItem, Message, MessageError, MessageKind, SendOutcome};
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;
use world::{START_MS, World, inbound, outgoing, phone, report, send, text};

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
    world.ingest(vec![InboundItem::Message(text("a", START_MS + 3_600_000))]);
    assert_eq!(world.thread().last_inbound_at, Some(world.now));
    let newest = world.thread().last_inbound_at;
    world.ingest(vec![InboundItem::Message(text("b", START_MS - 3_600_000))]);
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
fn the_window_is_24_hours_and_templates_need_none() {
    let mut world = World::new();
    assert_eq!(
        world.run(&AccountCommand::Send(outgoing(MessageKind::Text))).0,
        Err(CommandRefusal::OutsideWindow)
    );
    assert!(world.run(&AccountCommand::Send(outgoing(MessageKind::Template))).0.is_ok());
    assert_eq!(
        world.run(&AccountCommand::Send(outgoing(MessageKind::Text))).0,
        Err(CommandRefusal::OutsideWindow)
    );
    world.ingest(vec![inbound("a")]);
    send(&mut world);
    world.now = Timestamp::from_millis(START_MS)
        .plus_duration(Duration::from_hours(24))
        .minus_duration(Duration::from_millis(2));
    send(&mut world);
    assert_eq!(
        world.run(&AccountCommand::Send(outgoing(MessageKind::Text))).0,
        Err(CommandRefusal::OutsideWindow)
    );
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
    let accepted = SendOutcome::Accepted { wamid: "out".into() };
    let (_, changes) = world.run(&AccountCommand::RecordSends(vec![(id, accepted)]));
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
fn an_echo_settles_a_send_whose_answer_was_lost() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = send(&mut world);
    let InboundItem::Status(mut echo) = report("out", MessageStatus::Sent, START_MS) else { unreachable!() };
    echo.echo = Some(id);
    world.ingest(vec![InboundItem::Status(echo)]);
    let message = world.message(id);
    assert_eq!(
        (message.status, message.wamid.as_deref(), message.next_attempt_at),
        (MessageStatus::Sent, Some("out"), None)
    );
}

#[test]
fn refusals_retries_and_a_refused_token() {
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
    world.run(&AccountCommand::RecordSends(vec![(id, SendOutcome::TokenRefused(error.clone()))])).0.unwrap();
    assert_eq!(
        (world.message(id).status, world.message(id).error.as_ref()),
        (MessageStatus::Failed, Some(&error))
    );
    assert_eq!(world.account.status, AccountStatus::Degraded);
    // WhatsApp delivered it after all.
    let InboundItem::Status(mut late) = report("out", MessageStatus::Delivered, START_MS) else {
        unreachable!()
    };
    late.echo = Some(id);
    world.ingest(vec![InboundItem::Status(late)]);
    assert_eq!((world.message(id).status, &world.message(id).error), (MessageStatus::Delivered, &None));
}

#[test]
fn reading_covers_earlier_messages_only() {
    let mut world = World::new();
    world.ingest(vec![inbound("a"), inbound("b")]);
    world.ingest(vec![inbound("c")]);
    let (result, changes) = world.run(&AccountCommand::MarkRead { wamid: "b".into() });
    assert!(matches!(result, Ok(CommandReply::Message(m)) if m.status == MessageStatus::Read));
    assert_eq!(changes.read_receipts, [std::sync::Arc::<str>::from("b")]);
    assert_eq!((changes.messages.len(), world.thread().unread_count), (2, 1));
    assert!(world.run(&AccountCommand::MarkRead { wamid: "a".into() }).1.is_empty(), "read already");
    assert_eq!(world.run(&AccountCommand::MarkRead { wamid: "z".into() }).0, Err(CommandRefusal::NoMessage));
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
    let known = NewContact { phone: phone("+6281200000001"), name: None, email: None, metadata: None };
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
                    let accepted = SendOutcome::Accepted { wamid: "out".into() };
                    world.run(&AccountCommand::RecordSends(vec![(id, accepted)])).0.unwrap();
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
