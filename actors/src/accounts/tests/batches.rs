//! Commands that share a commit: each is decided on all of its rows, and one that the database refuses fails
//! alone.

use std::time::Duration;

use kabar_core::domain::address::Address;
use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::domain::contact::{NewContact, NewIdentifier};
use kabar_core::domain::identity::Party;
use kabar_core::domain::message::{MessageKind, OutgoingMessage, SendOutcome};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::read_receipt::ReadReceipt;
use kabar_core::domain::status::MessageStatus;
use tokio::task::JoinHandle;

use super::Stuck;
use super::fixture::{AccountFixture, every_thread, inbound, text_of};
use crate::context::AccountRegistryOptions;
use crate::error::AccountError;

type CommandResult = Result<Result<CommandReply, CommandRefusal>, AccountError>;

/// Has the account carry these commands out in one commit, in this order.
async fn run_together(
    fixture: &AccountFixture,
    commands: impl IntoIterator<Item = AccountCommand>,
) -> Vec<CommandResult> {
    let stuck = Stuck::in_the_actor_of(fixture).await;
    let mut running: Vec<JoinHandle<CommandResult>> = Vec::new();
    for command in commands {
        let (accounts, entry) = (fixture.accounts.clone(), fixture.entry.clone());
        running
            .push(fixture.tasks.spawn(async move { accounts.execute_command(&entry, command, None).await }));
        while fixture.accounts.loaded_accounts()[0].mailbox_depth <= running.len() {
            tokio::task::yield_now().await;
        }
    }
    stuck.let_go().await;
    let answers = futures_util::future::join_all(running).await;
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

fn new_contact(phone: &str) -> AccountCommand {
    let identifier = NewIdentifier::Phone(Phone::parse(phone).unwrap());
    AccountCommand::CreateContact(NewContact { identifier, name: None, email: None, metadata: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_read_in_the_commit_that_brings_it_reads_the_earlier_ones_too() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(1, 1).await;
    fixture.ingest(1, 2).await;
    let before = fixture.accounts.loaded_accounts()[0].revision;
    let read = AccountCommand::MarkRead(ReadReceipt { wamid: "wamid.1.3".into(), typing: false });
    let answers = run_together(&fixture, [AccountCommand::Ingest(vec![inbound(1, 3)]), read]).await;
    assert_eq!(
        fixture.accounts.loaded_accounts()[0].revision,
        before + 2,
        "one commit of both, after the stuck one"
    );
    let Ok(Ok(CommandReply::Message(message))) = &answers[1] else { panic!("{answers:?}") };
    assert_eq!(message.status, MessageStatus::Read);
    let threads = text_of(&fixture.ask(&every_thread()).await);
    assert!(threads.contains(":0;"), "nothing is unread: {threads}");
}

#[tokio::test]
async fn a_resident_number_is_a_contact_already_without_a_statement() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(1, 1).await;
    let refused = async || {
        let answer =
            fixture.accounts.execute_command(&fixture.entry, new_contact("+6281200000001"), None).await;
        assert!(matches!(answer, Ok(Err(CommandRefusal::ContactExists(_)))), "{answer:?}");
    };
    assert_eq!(fixture.statements_of(refused).await, 0, "memory knows the contact");
    let known = async || fixture.ingest(1, 1).await;
    assert_eq!(fixture.statements_of(known).await, 0, "memory knows the message and the conversation");
    assert!(fixture.says("kabar_commit_failures_total 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_commit_fails_its_command_alone_and_loads_nothing_afresh() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(1, 1).await;
    let outgoing = OutgoingMessage {
        to: Address::parse("+6281200000001").unwrap(),
        kind: MessageKind::Text,
        content: "hi".into(),
        payload: "{}".into(),
        context: None,
        reaction: None,
        template: None,
        callback_data: None,
        source: MessageSource::Api,
    };
    let CommandReply::Message(sent) = fixture.run(AccountCommand::Send(outgoing)).await else {
        panic!("no message")
    };
    // Nothing listens at WhatsApp's address: the attempt is begun and recorded, and the next one is not due.
    while fixture.accounts.loaded_accounts()[0].revision < 4 {
        tokio::task::yield_now().await;
    }
    fixture.clock.advance_manual(Duration::from_millis(10));
    let loaded = fixture.entry.loaded_account().unwrap();
    let loaded_at = loaded.loaded_at();

    // A message's id of WhatsApp's, given to a second message.
    let twice = SendOutcome::Accepted {
        wamid: Some("wamid.1.1".into()),
        hold_reason: None,
        recipient: Party::default(),
    };
    let refused = AccountCommand::RecordSends(vec![(sent.id, twice)]);
    let neighbours =
        [AccountCommand::Ingest(vec![inbound(2, 1)]), AccountCommand::Ingest(vec![inbound(3, 1)])];
    let [first, last] = neighbours;
    let answers = run_together(&fixture, [first, refused.clone(), last]).await;
    let ingested = Ok(Ok(CommandReply::Ingested));
    assert_eq!(answers, [ingested.clone(), Err(AccountError::Refused), ingested]);
    let alone = fixture.accounts.execute_command(&fixture.entry, refused, None).await;
    assert_eq!(alone, Err(AccountError::Refused));

    assert!(fixture.says("kabar_commit_failures_total 2"), "one for each command that failed");
    assert_eq!(loaded.loaded_at(), loaded_at, "memory stands");
    assert!(!loaded.is_in_doubt() && loaded.quiet_at(loaded.current_view().revision).is_some());
    fixture.ingest(1, 2).await;
    assert!(std::sync::Arc::ptr_eq(&loaded, &fixture.entry.loaded_account().unwrap()));
    let threads = text_of(&fixture.ask(&every_thread()).await);
    assert_eq!(threads.matches(';').count(), 4, "{threads}");
}
