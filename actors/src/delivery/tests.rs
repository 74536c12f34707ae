//! Delivery workers over a real store, with a sink that plays a script and a clock that stands still.

mod script;
mod suspension;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::domain::audit::AuditOrigin;
use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::delivery::{AttemptOutcome, DeliveryStatus};
use kabar_core::domain::event::{EventType, EventTypes};
use kabar_core::domain::page::{DeliveryFilter, DeliveryQuery, PageLimit};
use kabar_core::domain::run::Run;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::domain::subscription::{DEAD_IN_ROW_MAX, Subscription, SubscriptionStatus};
use kabar_core::store::DeliveryWork;

use super::worker::WINDOW;
use crate::accounts::tests::fixture::inbound;
use crate::accounts::tests::spans::SpanRecorder;
use crate::subscribers::{SubscriptionError, SubscriptionPatch};
use script::{PlayedAnswer, Stage, patiently};

const RETRY: AttemptOutcome = AttemptOutcome::Retry { after: None };

#[tokio::test]
async fn events_arrive_in_order_per_conversation_even_when_one_must_be_repeated() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    // The second message of the first contact fails twice.
    stage.sink.plays(|call| {
        PlayedAnswer::Answer(if call.sequence == call.of_second && call.attempt < 3 {
            RETRY
        } else {
            AttemptOutcome::Delivered
        })
    });
    for n in 1..=3 {
        stage.fixture.ingest(0, n).await;
        stage.fixture.ingest(1, n).await;
    }
    stage.until_taken(4).await;
    for tries in 1..3 {
        stage.until_next_attempt(subscription.id, tries).await;
    }
    stage.until_taken(6).await;
    let calls = stage.sink.calls();
    let of = |contact| calls.iter().filter(|call| call.contact == contact).collect::<Vec<_>>();
    for contact in stage.sink.contacts() {
        assert!(of(contact).is_sorted_by_key(|call| (call.sequence, call.attempt)), "{:?}", of(contact));
    }
    let repeated: Vec<_> = calls.iter().filter(|call| call.sequence == call.of_second).collect();
    assert_eq!(repeated.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(
        repeated.iter().all(|call| call.event == repeated[0].event && call.delivery == repeated[0].delivery)
    );
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 6).await;
}

#[tokio::test]
async fn conversations_go_in_parallel_up_to_a_limit_and_beyond_the_window_the_log_waits() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Hang);
    let messages = 1..=u32::try_from(WINDOW).unwrap() + 300;
    stage.fixture.run(AccountCommand::Ingest(messages.clone().map(|n| inbound(n % 400, n)).collect())).await;
    stage.sink.until_hanging(64).await;
    let all = i64::try_from(messages.count()).unwrap();
    let head = stage.place(subscription.id).await.head;
    assert!(stage.open_rows(subscription.id).await == WINDOW && head >= all, "the rest is in the log");
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    stage.sink.let_go();
    stage.until_taken(WINDOW + 300).await;
    assert_eq!(stage.sink.peak.load(Ordering::Relaxed), 64);
    assert_eq!(stage.place(subscription.id).await.cursor, head);
}

#[tokio::test]
async fn a_delivery_worker_that_dies_before_its_record_delivers_again_under_the_same_ids() {
    let stage = Stage::open().await;
    stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Hang);
    stage.fixture.ingest(0, 1).await;
    stage.fixture.ingest(0, 2).await;
    stage.sink.until_hanging(1).await;
    // The sink has it, nobody has recorded that.
    stage.dispatcher().stop_workers();
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    stage.dispatcher().take_up_all(DeliveryWork::OfAccount(stage.account())).await;
    stage.until_taken(2).await;
    let calls = stage.sink.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!((calls[0].event, calls[0].delivery), (calls[1].event, calls[1].delivery));
    assert!(calls[1].sequence < calls[2].sequence);
}

#[tokio::test]
async fn one_that_hangs_does_not_hold_another_up() {
    let stage = Stage::open().await;
    let (slow, fast) = (stage.subscribe().await, stage.subscribe().await);
    stage.sink.plays(move |call| {
        if call.subscriber == SubscriberId::Webhook(slow.id) {
            PlayedAnswer::Hang
        } else {
            PlayedAnswer::Answer(AttemptOutcome::Delivered)
        }
    });
    for n in 1..=100 {
        stage.fixture.ingest(n, 1).await;
    }
    stage.until_recorded(fast.id, DeliveryStatus::Delivered, 100).await;
    assert_eq!(stage.sink.peak.load(Ordering::Relaxed), 64, "all of the other's attempts are under way");
}

#[tokio::test]
async fn who_has_nothing_to_do_leaves_and_costs_no_statement() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.fixture.ingest(0, 1).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 1).await;
    stage.until_nobody_works().await;
    let minute = async || {
        for _ in 0..60 {
            stage.fixture.clock.advance_manual(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(stage.fixture.statements_of(minute).await, 0);
    stage.fixture.ingest(0, 2).await;
    stage.until_taken(2).await;
}

#[tokio::test]
async fn a_subscriber_that_is_down_is_tried_by_one_at_a_time() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Answer(RETRY));
    for contact in 0..10 {
        stage.fixture.ingest(contact, 1).await;
    }
    stage.until_recorded(subscription.id, DeliveryStatus::Failed, 10).await;
    for contact in 10..30 {
        stage.fixture.ingest(contact, 1).await;
    }
    stage.until_metric("kabar_open_breakers 1").await;
    assert_eq!(stage.sink.calls().len(), 10, "the breaker is open");
    stage.fixture.clock.advance_manual(Duration::from_secs(5));
    patiently(async || stage.sink.calls().len() == 11).await;
    // That probe has failed as well: nothing more for ten seconds.
    stage.until_recorded(subscription.id, DeliveryStatus::Failed, 11).await;
    assert_eq!(stage.sink.calls().len(), 11);
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    patiently(async || {
        stage.fixture.clock.advance_manual(Duration::from_secs(1));
        stage.sink.taken() == 30
    })
    .await;
    stage.until_metric("kabar_open_breakers 0").await;
}

#[tokio::test]
async fn deliveries_are_given_up_at_the_end_of_the_retry_schedule() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Answer(RETRY));
    stage.fixture.ingest(0, 1).await;
    for tries in 1..8 {
        stage.until_next_attempt(subscription.id, tries).await;
    }
    stage.until_recorded(subscription.id, DeliveryStatus::Dead, 1).await;
    let page = stage.list(subscription.id).await;
    assert_eq!((page[0].attempt_count, page[0].attempts.len(), page[0].next_attempt_at), (8, 8, None));
    patiently(async || stage.subscription(subscription.id).dead_in_row == 1).await;
    assert!(
        stage
            .fixture
            .accounts
            .dispatcher()
            .replay_delivery(stage.fixture.organisation, page[0].id, &AuditOrigin::SYSTEM, None)
            .await
            .unwrap()
            .is_some()
    );
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    stage.until_taken(1).await;
    let calls = stage.sink.calls();
    assert_eq!(calls.last().map(|call| (call.attempt, call.delivery)), Some((9, page[0].id)));
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 1).await;
    patiently(async || stage.subscription(subscription.id).dead_in_row == 0).await;
}

#[tokio::test]
async fn what_is_replayed_as_soon_as_its_outcome_is_seen_is_brought_again() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Rejected));
    // The outcome is in the store, and its delivery worker does not hear of that before the subscriber registry may change.
    let registry = stage.subscribers().registry().lock_writing().await;
    stage.fixture.ingest(0, 1).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Dead, 1).await;
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    let id = stage.list(subscription.id).await[0].id;
    assert!(
        stage
            .dispatcher()
            .replay_delivery(stage.fixture.organisation, id, &AuditOrigin::SYSTEM, None)
            .await
            .unwrap()
            .is_some()
    );
    stage.until_heard().await;
    drop(registry);
    stage.until_taken(1).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 1).await;
}

#[tokio::test]
async fn what_is_replayed_during_an_attempt_is_brought_once_more_whatever_became_of_it() {
    for outcome in [AttemptOutcome::Delivered, AttemptOutcome::Rejected, RETRY] {
        let stage = Stage::open().await;
        let subscription = stage.subscribe().await;
        stage.sink.plays(|_| PlayedAnswer::Hang);
        stage.fixture.ingest(0, 1).await;
        stage.sink.until_hanging(1).await;
        let id = stage.list(subscription.id).await[0].id;
        for _ in 0..2 {
            stage
                .dispatcher()
                .replay_delivery(stage.fixture.organisation, id, &AuditOrigin::SYSTEM, None)
                .await
                .unwrap()
                .unwrap();
        }
        stage.sink.ends_first_attempt(outcome);
        patiently(async || stage.list(subscription.id).await[0].attempt_count == 2).await;
        // It stands before what the contact writes next, so nothing more of it is to come.
        stage.fixture.ingest(0, 2).await;
        stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 2).await;
        let attempts: Vec<_> = stage.sink.calls().iter().map(|call| (call.sequence, call.attempt)).collect();
        let [first, second, third] = attempts[..] else { panic!("{outcome:?}: {attempts:?}") };
        assert!(first.0 == second.0 && second.0 < third.0, "{outcome:?}: {attempts:?}");
        assert_eq!([first.1, second.1, third.1], [1, 2, 1], "{outcome:?}");
    }
}

#[tokio::test]
async fn a_run_that_is_replayed_during_an_attempt_is_made_once_more_whatever_became_of_it() {
    for outcome in [AttemptOutcome::Delivered, AttemptOutcome::Rejected, RETRY] {
        let stage = Stage::open().await;
        let plugin = stage.install_plugin().await;
        stage.sink.plays(|_| PlayedAnswer::Hang);
        stage.fixture.ingest(0, 1).await;
        stage.sink.until_hanging(1).await;
        let run = stage.runs(plugin.id).await[0].run_id();
        for _ in 0..2 {
            stage.subscribers().replay_run(&plugin, run, &AuditOrigin::SYSTEM).await.unwrap().unwrap();
        }
        stage.sink.ends_first_attempt(outcome);
        patiently(async || stage.runs(plugin.id).await[0].delivery.attempt_count == 2).await;
        stage.fixture.ingest(0, 2).await;
        let done = |run: &Run| run.delivery.status == DeliveryStatus::Delivered;
        patiently(async || stage.runs(plugin.id).await.iter().filter(|run| done(run)).count() == 2).await;
        let attempts: Vec<_> = stage.sink.calls().iter().map(|call| call.attempt).collect();
        assert_eq!(attempts, [1, 2, 1], "{outcome:?}");
    }
}

#[tokio::test]
async fn too_many_given_up_disable_and_who_goes_on_gets_what_has_come() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Rejected));
    for contact in 0..DEAD_IN_ROW_MAX {
        stage.fixture.ingest(contact, 1).await;
    }
    patiently(async || stage.subscription(subscription.id).status == SubscriptionStatus::Disabled).await;
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    stage.fixture.ingest(99, 1).await;
    patiently(async || stage.workers() == 0).await;
    assert_eq!(stage.sink.taken(), 0);
    stage.set(subscription.id, SubscriptionStatus::Active).await;
    stage.until_taken(1).await;
    let mut filter = DeliveryFilter::for_subscriber(stage.fixture.organisation);
    filter.subscription_id = Some(subscription.id);
    filter.status = Some(DeliveryStatus::Dead);
    let replayed =
        stage.dispatcher().replay_many(&filter, &AuditOrigin::SYSTEM, None).await.unwrap().unwrap();
    assert_eq!((replayed.enqueued, replayed.capped), (24, false));
    stage.until_taken(25).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 25).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_pauses_and_what_is_paused_waits() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Gone));
    stage.fixture.ingest(0, 1).await;
    patiently(async || stage.subscription(subscription.id).status == SubscriptionStatus::Paused).await;
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    stage.fixture.ingest(0, 2).await;
    stage.set(subscription.id, SubscriptionStatus::Active).await;
    stage.until_taken(1).await;
    stage.set(subscription.id, SubscriptionStatus::Paused).await;
    stage.fixture.ingest(0, 3).await;
    patiently(async || stage.workers() == 0).await;
    assert_eq!(stage.sink.taken(), 1);
    let organisation = stage.fixture.organisation;
    let delete =
        || stage.subscribers().delete_subscription(organisation, subscription.id, &AuditOrigin::SYSTEM);
    assert_eq!(delete().await, Ok(()));
    assert_eq!(delete().await, Err(SubscriptionError::NotFound));
    stage.fixture.ingest(0, 4).await;
    assert!(stage.workers() == 0);
}

#[tokio::test]
async fn what_came_in_a_pause_that_a_delivery_worker_did_not_notice_is_brought() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|_| PlayedAnswer::Answer(AttemptOutcome::Delivered));
    stage.fixture.ingest(0, 1).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 1).await;
    stage.until_heard().await;
    // The pause holds already, and the delivery worker has not been told.
    let paused = Subscription { status: SubscriptionStatus::Paused, ..Subscription::clone(&subscription) };
    stage.subscribers().registry().publish_subscribers([Subscriber::Webhook(Arc::new(paused))]);
    stage.fixture.ingest(0, 2).await;
    stage.set(subscription.id, SubscriptionStatus::Active).await;
    stage.until_taken(2).await;
}

#[tokio::test]
async fn a_sink_that_panics_is_tried_again() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.sink.plays(|call| {
        if call.attempt == 1 { PlayedAnswer::Panic } else { PlayedAnswer::Answer(AttemptOutcome::Delivered) }
    });
    stage.fixture.ingest(0, 1).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Failed, 1).await;
    stage.fixture.clock.advance_manual(Duration::from_secs(12));
    stage.until_taken(1).await;
}

#[tokio::test]
async fn what_nobody_wants_rings_nobody() {
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    let patch = SubscriptionPatch {
        events: Some([EventType::MessageStatus].into_iter().collect::<EventTypes>()),
        ..SubscriptionPatch::default()
    };
    stage
        .subscribers()
        .patch_subscription(stage.fixture.organisation, subscription.id, patch, &AuditOrigin::SYSTEM)
        .await
        .unwrap();
    // A delivery worker that looks all the same finds nothing, and passes it by.
    stage.fixture.ingest(0, 1).await;
    stage.dispatcher().take_up_all(DeliveryWork::OfAccount(stage.account())).await;
    patiently(async || stage.place(subscription.id).await.cursor > 0).await;
    stage.until_nobody_works().await;
    stage.fixture.ingest(0, 2).await;
    assert!(stage.workers() == 0 && stage.sink.calls().is_empty());
    let query = DeliveryQuery {
        filter: DeliveryFilter::for_subscriber(stage.fixture.organisation),
        limit: PageLimit::default(),
        after: None,
    };
    assert!(stage.dispatcher().page_deliveries(&query).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn an_attempt_is_a_span_with_ids_only() {
    let (spans, _recording) = SpanRecorder::start();
    let stage = Stage::open().await;
    let subscription = stage.subscribe().await;
    stage.fixture.ingest(0, 1).await;
    stage.until_recorded(subscription.id, DeliveryStatus::Delivered, 1).await;
    assert_eq!(spans.fields_of("delivery.attempt"), ["account", "subscriber", "delivery", "attempt"]);
}
