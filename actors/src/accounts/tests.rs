//! The facade over a real store: reads after writes, caches, long polls, crashes, retirement.

mod batches;
mod crowd;
pub(crate) mod fixture;
mod laws;
pub(crate) mod spans;

use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::page::{ConversationQuery, PageLimit};
use kabar_core::store::IdempotencyRecord;

use crate::context::AccountRegistryOptions;
use crate::error::AccountError;
use crate::idempotency::{KeyedCall, RecordedResponse};
use crate::view::ReadQuery;
use fixture::{AccountFixture, LIST_KEY, every_thread, inbound, resolve, text_of};

#[tokio::test]
async fn a_write_is_seen_by_the_next_read_and_a_hit_costs_no_sql() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(0, 1).await;
    let first = fixture.ask(&every_thread()).await;
    assert!(!first.hit && text_of(&first).contains(":1;"), "{}", text_of(&first));
    let hits = async || {
        for _ in 0..100 {
            assert!(fixture.ask(&every_thread()).await.hit);
            assert!(fixture.accounts.cached_response(&fixture.entry, LIST_KEY).is_some());
        }
    };
    assert_eq!(fixture.statements_of(hits).await, 0);
    fixture.ingest(0, 2).await;
    assert!(fixture.accounts.cached_response(&fixture.entry, LIST_KEY).is_none());
    let second = fixture.ask(&every_thread()).await;
    assert!(!second.hit && text_of(&second).contains(":2;"), "{}", text_of(&second));
}

#[tokio::test]
async fn pages_of_other_kinds_outlive_a_commit() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(0, 1).await;
    let id = fixture.first_thread().await;
    let contacts = ReadQuery::Contacts(kabar_core::domain::page::ContactQuery::default());
    assert!(!fixture.ask(&contacts).await.hit);
    fixture.run(resolve(id, ConversationStatus::Resolved)).await;
    assert!(fixture.ask(&contacts).await.hit, "no contact has changed");
    assert!(!fixture.ask(&every_thread()).await.hit, "a thread has");
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_change_it_waits_for() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(0, 1).await;
    let old = text_of(&fixture.ask(&every_thread()).await);
    let question = every_thread();
    let changed = |asked: &crate::CachedResponse| text_of(asked) != old;
    let poll = fixture.accounts.ask_until(&fixture.entry, &question, Duration::from_mins(1), &changed);
    let write = async {
        fixture.until_waiting(1).await;
        fixture.until_metric("kabar_waiting_polls 1").await;
        fixture.ingest(1, 1).await;
    };
    let (asked, ()) = tokio::join!(poll, write);
    assert_ne!(text_of(&asked.unwrap().response), old);
    fixture.until_metric("kabar_waiting_polls 0").await;
}

#[tokio::test]
async fn a_long_poll_ends_at_its_deadline_and_at_shutdown() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    let question = every_thread();
    let poll = fixture.accounts.ask_until(&fixture.entry, &question, Duration::from_secs(30), &|_| false);
    let time = async {
        fixture.until_waiting(1).await;
        fixture.clock.advance_manual(Duration::from_secs(30));
    };
    assert!(!tokio::join!(poll, time).0.unwrap().is_cut_short, "it was held to its end");
    let poll = fixture.accounts.ask_until(&fixture.entry, &question, Duration::from_secs(30), &|_| false);
    let stop = async {
        fixture.until_waiting(1).await;
        fixture.stopping.cancel();
    };
    assert!(tokio::join!(poll, stop).0.is_ok());
}

#[tokio::test]
async fn beyond_the_limit_long_polls_do_not_wait() {
    let fixture = AccountFixture::open(AccountRegistryOptions {
        waiting_polls: 0,
        ..AccountRegistryOptions::default()
    })
    .await;
    let question = every_thread();
    let asked =
        fixture.accounts.ask_until(&fixture.entry, &question, Duration::from_mins(1), &|_| false).await;
    assert!(asked.unwrap().is_cut_short);
}

#[tokio::test]
async fn a_crash_is_told_and_the_account_comes_back_with_everything() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(0, 1).await;
    let Ok(KeyedCall::First(permit)) =
        fixture.idempotency.begin_call(fixture.organisation, "k", [0; 32]).await
    else {
        panic!()
    };
    let bomb = permit.claim_key(Box::new(|_| panic!("a defect in a renderer")));
    let crashed = fixture
        .accounts
        .execute_command(&fixture.entry, AccountCommand::Ingest(vec![inbound(1, 1)]), Some(bomb))
        .await;
    assert_eq!(crashed, Err(AccountError::Crashed));
    drop(permit);
    fixture.ingest(2, 1).await;
    let threads = text_of(&fixture.ask(&every_thread()).await);
    assert_eq!(threads.matches(';').count(), 2, "{threads}");
    fixture.until_metric("kabar_account_crashes_total 1").await;
}

#[tokio::test]
async fn an_idle_account_leaves_memory_and_returns_when_asked() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(0, 1).await;
    assert_eq!(fixture.accounts.loaded_accounts().len(), 1);
    // A long poll keeps it.
    let question = every_thread();
    {
        let poll =
            fixture.accounts.ask_until(&fixture.entry, &question, Duration::from_hours(24), &|_| false);
        tokio::pin!(poll);
        tokio::select! {
            _answered = &mut poll => panic!("nothing changed"),
            () = fixture.until_waiting(1) => {}
        }
        fixture.sweep_after(Duration::from_hours(1)).await;
        assert_eq!(fixture.accounts.loaded_accounts().len(), 1);
    }
    fixture.sweep_after(Duration::from_hours(1)).await;
    fixture.until_metric("kabar_account_retirements_total 1").await;
    assert_eq!(fixture.accounts.loaded_accounts().len(), 0);
    fixture.ingest(0, 2).await;
    assert!(text_of(&fixture.ask(&every_thread()).await).contains(":2;"));
}

/// A command that stands still in the account's actor until it is let go.
struct Stuck {
    release: std::sync::mpsc::Sender<()>,
    command: tokio::task::JoinHandle<Result<Result<CommandReply, CommandRefusal>, AccountError>>,
}

impl Stuck {
    async fn in_the_actor_of(fixture: &AccountFixture) -> Self {
        let begun = fixture.idempotency.begin_call(fixture.organisation, "stuck", [0; 32]).await;
        let Ok(KeyedCall::First(permit)) = begun else { panic!("{begun:?}") };
        let (entered, inside) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let slow = permit.claim_key(Box::new(move |_| {
            entered.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            RecordedResponse { status: 200, body: "{}".into(), contact_id: None }
        }));
        let (facade, account) = (fixture.accounts.clone(), fixture.entry.clone());
        let write = AccountCommand::Ingest(vec![inbound(0, 1)]);
        let command =
            fixture.tasks.spawn(async move { facade.execute_command(&account, write, Some(slow)).await });
        tokio::task::spawn_blocking(move || inside.recv().unwrap()).await.unwrap();
        Self { release, command }
    }

    async fn let_go(self) {
        self.release.send(()).unwrap();
        assert_eq!(self.command.await.unwrap(), Ok(Ok(CommandReply::Ingested)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_nothing_is_lost() {
    let fixture = AccountFixture::open(AccountRegistryOptions {
        queued_commands: 1,
        ..AccountRegistryOptions::default()
    })
    .await;
    let stuck = Stuck::in_the_actor_of(&fixture).await;
    let refused = fixture
        .accounts
        .execute_command(&fixture.entry, AccountCommand::Ingest(vec![inbound(1, 1)]), None)
        .await;
    assert_eq!(refused, Err(AccountError::Overloaded));
    stuck.let_go().await;
    fixture.ingest(1, 1).await;
}

/// With the actor standing still: whatever asked it would wait with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_needs_no_actor_no_sql_and_no_rendering() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(1, 1).await;
    let id = fixture.first_thread().await;
    let questions = [every_thread(), ReadQuery::Conversation(id)];
    for question in &questions {
        fixture.ask(question).await;
    }
    let stuck = Stuck::in_the_actor_of(&fixture).await;
    let renders = fixture.renders.load(Ordering::Relaxed);
    let hits = async || {
        for question in &questions {
            for _ in 0..100 {
                assert!(fixture.ask(question).await.hit);
            }
        }
        for _ in 0..100 {
            assert!(fixture.accounts.cached_response(&fixture.entry, LIST_KEY).is_some());
        }
    };
    assert_eq!(fixture.statements_of(hits).await, 0);
    assert_eq!(fixture.renders.load(Ordering::Relaxed), renders);
    // Not even a page that was never asked for needs the actor.
    let miss = async || assert!(!fixture.ask(&ReadQuery::Conversations(open_threads())).await.hit);
    assert_eq!(fixture.statements_of(miss).await, 0);
    assert_eq!(fixture.renders.load(Ordering::Relaxed), renders + 1, "one for the one new question");
    stuck.let_go().await;
}

fn open_threads() -> ConversationQuery {
    ConversationQuery { status: Some(ConversationStatus::Open), ..ConversationQuery::default() }
}

#[tokio::test]
async fn a_key_runs_once_and_is_replayed() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    let begin = |print| fixture.idempotency.begin_call(fixture.organisation, "key", [print; 32]);
    let Ok(KeyedCall::First(permit)) = begin(1).await else { panic!() };
    let answer = RecordedResponse { status: 201, body: r#"{"a":1}"#.into(), contact_id: None };
    let recorded = answer.clone();
    let claim = permit.claim_key(Box::new(move |_| recorded.clone()));
    let run = async {
        fixture
            .accounts
            .execute_command(&fixture.entry, AccountCommand::Ingest(vec![inbound(0, 1)]), Some(claim))
            .await
            .unwrap()
            .unwrap();
        drop(permit);
    };
    // The second call waits at the gate until the first is done.
    let (second, ()) = tokio::join!(begin(1), run);
    assert!(matches!(second, Ok(KeyedCall::Replay(replayed)) if replayed == answer));
    assert!(matches!(begin(2).await, Ok(KeyedCall::Reused)));
    fixture.clock.advance_manual(Duration::from_hours(25));
    assert!(matches!(begin(2).await, Ok(KeyedCall::First(_))));
}

#[tokio::test]
async fn a_call_whose_key_was_answered_meanwhile_writes_nothing_and_may_be_sent_again() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    let begin = || fixture.idempotency.begin_call(fixture.organisation, "key", [1; 32]);
    let Ok(KeyedCall::First(permit)) = begin().await else { panic!() };
    // As when an earlier commit of the same call, whose outcome was unknown, is written after all.
    let written = IdempotencyRecord {
        organisation_id: fixture.organisation,
        key: "key".into(),
        fingerprint: fixture.store.secrets().hide_fingerprint([1; 32]),
        status: 201,
        body: "{}".into(),
        created_at: fixture.clock.read_now(),
        claimed_by: None,
        contact_id: None,
    };
    fixture.store.insert_idempotency_record(written).await.unwrap();
    let claim =
        permit.claim_key(Box::new(|_| RecordedResponse { status: 200, body: "{}".into(), contact_id: None }));
    let command = AccountCommand::Ingest(vec![inbound(0, 1)]);
    let executed = fixture.accounts.execute_command(&fixture.entry, command, Some(claim)).await;
    assert_eq!(executed, Err(AccountError::Storage));
    permit.end().await;
    assert_eq!(text_of(&fixture.ask(&every_thread()).await).matches(';').count(), 0);
    let told = begin().await;
    assert!(matches!(&told, Ok(KeyedCall::Replay(answer)) if answer.status == 201), "{told:?}");
}

#[tokio::test]
async fn pages_below_the_horizon_come_from_the_store_and_are_cached() {
    let options = AccountRegistryOptions { resident_conversations: 8, ..AccountRegistryOptions::default() };
    let fixture = AccountFixture::open(options).await;
    for contact in 0..40 {
        fixture.ingest(contact, 1).await;
    }
    let all = ReadQuery::Conversations(ConversationQuery {
        limit: PageLimit::new(100).unwrap(),
        ..ConversationQuery::default()
    });
    let asked = fixture.ask(&all).await;
    assert_eq!(asked.page.as_ref().map(|page| page.rows), Some(40));
    let above = async || {
        assert!(fixture.ask(&all).await.hit);
        let top = ReadQuery::Conversations(ConversationQuery {
            limit: PageLimit::new(5).unwrap(),
            ..ConversationQuery::default()
        });
        assert_eq!(fixture.ask(&top).await.page.map(|page| page.rows), Some(5));
    };
    assert_eq!(fixture.statements_of(above).await, 0);
    let report = fixture.accounts.loaded_accounts();
    assert!(report[0].horizon.is_some() && report[0].conversations <= 9);
}
