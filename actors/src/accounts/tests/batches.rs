//! Commands that share a commit: each is decided on all of its rows, and one that the database refuses fails
//! alone.

use std::time::Duration;

use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::domain::contact::NewContact;
use kabar_core::domain::message::{MessageKind, OutgoingMessage, SendOutcome};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::status::MessageStatus;
use tokio::task::JoinHandle;

use super::Stuck;
use super::fixture::{Context, every_thread, inbound, text_of};
use crate::accounts::{AccountError, AccountRegistryOptions};

type CommandResult = Result<Result<CommandReply, CommandRefusal>, AccountError>;

/// Has the account carry these commands out in one commit, in this order.
async fn run_together(
    ground: &Context,
    commands: impl IntoIterator<Item = AccountCommand>,
) -> Vec<CommandResult> {
    let stuck = Stuck::in_the_actor_of(ground).await;
    let mut running: Vec<JoinHandle<CommandResult>> = Vec::new();
    for command in commands {
        let (accounts, slot) = (ground.accounts.clone(), ground.slot.clone());
        running.push(ground.tasks.spawn(async move { accounts.execute_command(&slot, command, None).await }));
        while ground.accounts.loaded_accounts()[0].mailbox_depth <= running.len() {
            tokio::task::yield_now().await;
        }
    }
    stuck.let_go().await;
    let answers = futures_util::future::join_all(running).await;
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

fn new_contact(phone: &str) -> AccountCommand {
    let phone = Phone::parse(phone).unwrap();
    AccountCommand::CreateContact(NewContact { phone, name: None, email: None, metadata: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_read_in_the_commit_that_brings_it_reads_the_earlier_ones_too() {
    let ground = Context::open(AccountRegistryOptions::default()).await;
    ground.ingest(1, 1).await;
    ground.ingest(1, 2).await;
    let before = ground.accounts.loaded_accounts()[0].revision;
    let read = AccountCommand::MarkRead { wamid: "wamid.1.3".into() };
    let answers = run_together(&ground, [AccountCommand::Ingest(vec![inbound(1, 3)]), read]).await;
    assert_eq!(
        ground.accounts.loaded_accounts()[0].revision,
        before + 2,
        "one commit of both, after the stuck one"
    );
    let Ok(Ok(CommandReply::Message(message))) = &answers[1] else { panic!("{answers:?}") };
    assert_eq!(message.status, MessageStatus::Read);
    let threads = text_of(&ground.ask(&every_thread()).await);
    assert!(threads.contains(":0;"), "nothing is unread: {threads}");
}

#[tokio::test]
async fn a_resident_number_is_a_contact_already_for_one_statement() {
    let ground = Context::open(AccountRegistryOptions::default()).await;
    ground.ingest(1, 1).await;
    let refused = async || {
        let answer = ground.accounts.execute_command(&ground.slot, new_contact("+6281200000001"), None).await;
        assert!(matches!(answer, Ok(Err(CommandRefusal::ContactExists(_)))), "{answer:?}");
    };
    assert_eq!(ground.statements_of(refused).await, 1, "the contact's row");
    let known = async || ground.ingest(1, 1).await;
    assert_eq!(ground.statements_of(known).await, 0, "memory knows the message and the conversation");
    assert!(ground.says("kabar_commit_failures_total 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_commit_fails_its_command_alone_and_loads_nothing_afresh() {
    let ground = Context::open(AccountRegistryOptions::default()).await;
    ground.ingest(1, 1).await;
    let to = Phone::parse("+6281200000001").unwrap();
    let (content, payload) = ("hi".into(), "{}".into());
    let outgoing = OutgoingMessage { to, kind: MessageKind::Text, content, payload, context: None };
    let CommandReply::Message(sent) = ground.run(AccountCommand::Send(outgoing)).await else {
        panic!("no message")
    };
    // Nothing listens at WhatsApp's address: the attempt is begun and recorded, and the next one is not due.
    while ground.accounts.loaded_accounts()[0].revision < 4 {
        tokio::task::yield_now().await;
    }
    ground.clock.advance_manual(Duration::from_millis(10));
    let resident = ground.slot.loaded_account().unwrap();
    let loaded_at = resident.loaded_at();

    // A message's id of WhatsApp's, given to a second message.
    let twice = SendOutcome::Accepted { wamid: "wamid.1.1".into() };
    let refused = AccountCommand::RecordSends(vec![(sent.id, twice)]);
    let neighbours =
        [AccountCommand::Ingest(vec![inbound(2, 1)]), AccountCommand::Ingest(vec![inbound(3, 1)])];
    let [first, last] = neighbours;
    let answers = run_together(&ground, [first, refused.clone(), last]).await;
    let ingested = Ok(Ok(CommandReply::Ingested));
    assert_eq!(answers, [ingested.clone(), Err(AccountError::Refused), ingested]);
    let alone = ground.accounts.execute_command(&ground.slot, refused, None).await;
    assert_eq!(alone, Err(AccountError::Refused));

    assert!(ground.says("kabar_commit_failures_total 2"), "one for each command that failed");
    assert_eq!(resident.loaded_at(), loaded_at, "memory stands");
    assert!(!resident.is_in_doubt() && resident.quiet_at(resident.current_view().revision).is_some());
    ground.ingest(1, 2).await;
    assert!(std::sync::Arc::ptr_eq(&resident, &ground.slot.loaded_account().unwrap()));
    let threads = text_of(&ground.ask(&every_thread()).await);
    assert_eq!(threads.matches(';').count(), 4, "{threads}");
}
