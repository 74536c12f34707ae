//! Subscriptions, cursors and deliveries: taken in once, recorded once, reopened, purged.

use std::collections::HashMap;

use super::*;
use crate::domain::delivery::{AttemptOutcome, Delivery, DeliveryAttempt, DeliveryStatus, RetrySchedule};
use crate::domain::event::{EventType, EventTypes};
use crate::domain::page::{DeliveryFilter, DeliveryQuery, PageLimit};
use crate::domain::principal::{Principal, PrincipalKind};
use crate::domain::row_version::RowVersion;
use crate::domain::subscriber::SubscriberId;
use crate::domain::subscription::{
    DEAD_IN_ROW_MAX, SigningSecret, Subscription, SubscriptionStatus, WebhookFormat,
};
use crate::ids::{DeliveryId, SigningSecretId, SubscriptionId};
use crate::store::{DeliveryCursor, DeliveryWork, Intake, PurgeAges};

fn key_principal() -> Principal {
    Principal { kind: PrincipalKind::ApiKey, id: Some(text("key_1")), name: Some(text("\"crm\" é")) }
}

pub(super) fn secret(n: u128) -> SigningSecret {
    SigningSecret {
        id: SigningSecretId::from_bits(n),
        secret: Secret::new(&format!("whsec_{n}")),
        created_at: at(3),
        created_by: key_principal(),
        expires_at: None,
    }
}

pub(super) fn subscription(n: u128) -> Subscription {
    Subscription {
        id: SubscriptionId::from_bits(n),
        organisation_id: OrganisationId::from_bits(1),
        url: text("https://example.com/\"hook\"?a=ü"),
        events: [EventType::MessageCreated, EventType::MessageStatus].into_iter().collect(),
        format: if n == 1 { WebhookFormat::Meta } else { WebhookFormat::Kabar },
        description: (n == 1).then(|| text("crm")),
        status: SubscriptionStatus::Active,
        dead_in_row: 0,
        secrets: vec![secret(n * 10)],
        created_at: at(3),
        created_by: key_principal(),
        updated_at: at(3),
        row_version: RowVersion::FIRST,
    }
}

pub(super) fn delivery(n: u128, owner: &Owner, sequence: i64) -> Delivery {
    let made_at = 5_000 + i64::try_from(n).unwrap();
    Delivery {
        id: DeliveryId::from_bits(ulid(made_at, n)),
        subscriber: SUBSCRIBER,
        organisation_id: OrganisationId::from_bits(1),
        account: owner.number,
        sequence,
        event_id: EventId::from_bits(n),
        event_type: if n.is_multiple_of(2) { EventType::MessageStatus } else { EventType::MessageCreated },
        contact_id: ContactId::from_bits(n),
        status: DeliveryStatus::Pending,
        attempts: Vec::new(),
        attempt_count: 0,
        tries: 0,
        next_attempt_at: Some(due_at(made_at)),
        created_at: at(made_at),
        updated_at: at(made_at),
        replays: 0,
    }
}

pub(super) fn tried(mut one: Delivery, outcome: AttemptOutcome) -> Delivery {
    let error = (outcome != AttemptOutcome::Delivered).then(|| text("\"no\""));
    let attempt = DeliveryAttempt { at: at(6_000), status_code: Some(503), duration_ms: 12, error };
    one.settle_attempt(attempt, outcome, RetrySchedule::WEBHOOK, 0.5, at(6_012));
    one
}

pub(super) const RETRY: AttemptOutcome = AttemptOutcome::Retry { after: None };
pub(super) const SUBSCRIBER: SubscriberId = SubscriberId::Webhook(SubscriptionId::from_bits(1));

/// An account with a log of `events`, and a subscription that was there before it.
pub(super) async fn logged(store: &Store, events: u32) -> Owner {
    store.insert_subscription(&subscription(1), None).await.unwrap();
    let mut owner = Owner::of(store, 1).await;
    for n in 1..=events {
        thread(store, &mut owner, n).await;
    }
    owner
}

pub(super) async fn take_in(store: &Store, owner: &Owner, between: (i64, i64), rows: &[Delivery]) -> bool {
    take_in_for(SUBSCRIBER, store, owner, between, rows).await
}

/// Takes in deliveries without bodies.
pub(super) async fn take_in_for(
    subscriber: SubscriberId,
    store: &Store,
    owner: &Owner,
    (from, to): (i64, i64),
    rows: &[Delivery],
) -> bool {
    let intake =
        Intake { subscriber, account: owner.number, from, to, deliveries: rows, bodies: &HashMap::new() };
    store.take_in(intake).await.unwrap()
}

pub(super) async fn open(store: &Store, owner: &Owner) -> Vec<Delivery> {
    store.open_deliveries(SUBSCRIBER, owner.number, 0, 100).await.unwrap()
}

async fn listed(store: &Store, query: &DeliveryQuery) -> Vec<Delivery> {
    store.page_deliveries(query).await.unwrap().rows
}

fn everything() -> DeliveryQuery {
    let filter = DeliveryFilter::for_subscriber(OrganisationId::from_bits(1));
    DeliveryQuery { filter, limit: PageLimit::default(), after: None }
}

#[tokio::test]
async fn subscriptions_come_back_with_their_secrets() {
    let (store, guard) = store().await;
    let (mut one, two) = (subscription(1), subscription(2));
    store.insert_subscription(&one, None).await.unwrap();
    store.insert_subscription(&two, None).await.unwrap();
    assert_eq!(store.load_subscriptions().await.unwrap(), [one.clone(), two.clone()]);
    for (nth, until) in [(11, 50), (12, 70)] {
        let secrets = vec![secret(nth)];
        let more = Subscription { secrets, row_version: one.row_version, ..subscription(1) };
        one.row_version =
            store.insert_signing_secret(more, at(until), None).await.unwrap().unwrap().row_version;
    }
    one.url = text("https://example.org/");
    one.events = EventTypes::all_types();
    one.description = None;
    one.status = SubscriptionStatus::Paused;
    (one.dead_in_row, one.updated_at) = (4, at(9));
    let mut one = store.update_subscription(one).await.unwrap().unwrap();
    // A secret that was to expire earlier still does.
    one.secrets[0].expires_at = Some(at(50));
    one.secrets.push(SigningSecret { expires_at: Some(at(70)), ..secret(11) });
    one.secrets.push(secret(12));
    let signing = |ms| -> Vec<_> { one.signing_at(at(ms)).map(|one| one.id.bits()).collect() };
    assert_eq!((signing(49), signing(50), signing(70)), (vec![12, 11, 10], vec![12, 11], vec![12]));
    for store in [store.clone(), guard.open().await] {
        assert_eq!(store.load_subscriptions().await.unwrap(), [one.clone(), two.clone()]);
    }
    store.delete_subscription(one.id, at(10)).await.unwrap();
    assert_eq!(store.load_subscriptions().await.unwrap(), [two]);
}

#[tokio::test]
async fn too_many_given_up_in_a_row_disable_a_subscription_once() {
    let (store, _guard) = store().await;
    let one = subscription(1);
    store.insert_subscription(&one, None).await.unwrap();
    let note = async |taken, deaths| {
        let noted = store.note_deaths(one.id, taken, deaths).await?;
        Ok::<_, StoreError>(noted.map(|noted| (noted.status, noted.dead_in_row)))
    };
    let active = SubscriptionStatus::Active;
    assert_eq!(note(false, DEAD_IN_ROW_MAX - 1).await.unwrap(), Some((active, DEAD_IN_ROW_MAX - 1)));
    assert_eq!(note(true, 2).await.unwrap(), Some((active, 2)));
    assert_eq!(note(true, 0).await.unwrap(), Some((active, 0)));
    let disabled = Some((SubscriptionStatus::Disabled, DEAD_IN_ROW_MAX));
    assert_eq!(note(false, DEAD_IN_ROW_MAX).await.unwrap(), disabled);
    let now = store.find_subscription(one.id).await.unwrap().unwrap();
    let paused = Subscription { status: SubscriptionStatus::Paused, dead_in_row: 0, ..now };
    store.update_subscription(paused).await.unwrap().unwrap();
    let stays = Some((SubscriptionStatus::Paused, DEAD_IN_ROW_MAX));
    assert_eq!(note(false, DEAD_IN_ROW_MAX).await.unwrap(), stays);
    store.delete_subscription(one.id, at(9)).await.unwrap();
    assert_eq!(note(false, 1).await.unwrap(), None);
}

#[tokio::test]
async fn a_subscription_begins_where_each_log_ends() {
    let (store, _guard) = store().await;
    let mut old = Owner::of(&store, 1).await;
    thread(&store, &mut old, 1).await;
    store.insert_subscription(&subscription(1), None).await.unwrap();
    let mut young = Owner::of(&store, 2).await;
    thread(&store, &mut young, 2).await;
    let place = async |owner: &Owner| store.delivery_cursor(SUBSCRIBER, owner.number).await.unwrap();
    assert_eq!(place(&old).await, Some(DeliveryCursor { cursor: 1, head: 1 }));
    assert_eq!(place(&young).await, Some(DeliveryCursor { cursor: 0, head: 1 }));
    assert_eq!(store.delivery_cursor(SUBSCRIBER, 404).await.unwrap(), None);
}

#[tokio::test]
async fn events_are_taken_in_once_and_none_is_skipped() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 3).await;
    let rows = [delivery(1, &owner, 1), delivery(3, &owner, 3)];
    assert!(!take_in(&store, &owner, (1, 3), &rows).await, "the cursor stands at 0");
    assert!(open(&store, &owner).await.is_empty());
    assert!(take_in(&store, &owner, (0, 3), &rows).await);
    assert!(!take_in(&store, &owner, (0, 3), &[delivery(5, &owner, 1)]).await, "somebody was faster");
    assert_eq!(open(&store, &owner).await, rows);
    let place = store.delivery_cursor(SUBSCRIBER, owner.number).await.unwrap();
    assert_eq!(place, Some(DeliveryCursor { cursor: 3, head: 3 }));
    assert!(take_in(&store, &owner, (3, 9), &[]).await);
    let after_the_first = store.open_deliveries(SUBSCRIBER, owner.number, 1, 100);
    assert_eq!(after_the_first.await.unwrap(), rows[1..]);
}

#[tokio::test]
async fn outcomes_are_recorded_by_whoever_knows_the_attempts_before() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 3).await;
    let rows = [1, 2, 3].map(|n| delivery(n.try_into().unwrap(), &owner, n));
    assert!(take_in(&store, &owner, (0, 3), &rows).await);
    let [first, second, third] = rows;
    let failed = tried(first.clone(), RETRY);
    let taken = tried(second, AttemptOutcome::Delivered);
    let dead = tried(third, AttemptOutcome::Rejected);
    let recorded = store.record_deliveries(&[failed.clone(), taken.clone(), dead.clone()]).await.unwrap();
    assert_eq!(recorded.len(), 3);
    // Somebody who does not know of that attempt.
    let late = store.record_deliveries(&[tried(first, AttemptOutcome::Delivered)]).await.unwrap();
    assert!(late.is_empty());
    assert_eq!(open(&store, &owner).await, std::slice::from_ref(&failed));
    assert_eq!(listed(&store, &everything()).await, [dead, taken, failed.clone()]);
    let again = tried(failed, AttemptOutcome::Delivered);
    assert_eq!(store.record_deliveries(std::slice::from_ref(&again)).await.unwrap(), [again.id]);
    let found = store.find_delivery(OrganisationId::from_bits(1), again.id).await.unwrap();
    assert_eq!(found, Some(again.clone()));
    assert_eq!(store.find_delivery(OrganisationId::from_bits(2), again.id).await.unwrap(), None);
}

#[tokio::test]
async fn lists_are_narrowed_by_every_filter() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 6).await;
    let rows: Vec<Delivery> = (1..=6).map(|n| delivery(n.try_into().unwrap(), &owner, n)).collect();
    assert!(take_in(&store, &owner, (0, 6), &rows).await);
    store.record_deliveries(&[tried(rows[1].clone(), AttemptOutcome::Gone)]).await.unwrap();
    let ids = async |change: &dyn Fn(&mut DeliveryQuery)| -> Vec<i64> {
        let mut query = everything();
        change(&mut query);
        listed(&store, &query).await.iter().map(|row| row.sequence).collect()
    };
    assert_eq!(ids(&|_| ()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(&|query| query.filter.status = Some(DeliveryStatus::Dead)).await, [2]);
    assert_eq!(ids(&|query| query.filter.event_type = Some(EventType::MessageStatus)).await, [6, 4, 2]);
    assert_eq!(ids(&|query| query.filter.created_after = Some(at(5_004))).await, [6, 5]);
    assert_eq!(ids(&|query| query.filter.created_before = Some(at(5_003))).await, [2, 1]);
    assert_eq!(ids(&|query| query.after = Some(rows[2].id)).await, [2, 1]);
    let other = Some(SubscriptionId::from_bits(2));
    assert!(ids(&|query| query.filter.subscription_id = other).await.is_empty());
    assert!(ids(&|query| query.filter.organisation_id = OrganisationId::from_bits(2)).await.is_empty());
    let page = DeliveryQuery { limit: PageLimit::new(2).unwrap(), ..everything() };
    let page = store.page_deliveries(&page).await.unwrap();
    assert!(page.has_more && page.rows == [rows[5].clone(), rows[4].clone()]);
}

#[tokio::test]
async fn a_replay_opens_the_oldest_again_with_the_same_ids() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 3).await;
    let rows = [1, 2, 3].map(|n| delivery(n.try_into().unwrap(), &owner, n));
    assert!(take_in(&store, &owner, (0, 3), &rows).await);
    let ended: Vec<Delivery> = rows.iter().map(|row| tried(row.clone(), AttemptOutcome::Rejected)).collect();
    store.record_deliveries(&ended).await.unwrap();
    let mut filter = everything().filter;
    filter.status = Some(DeliveryStatus::Dead);
    let (oldest, capped) = store.oldest_deliveries(&filter, 2).await.unwrap();
    assert!(capped && oldest == [rows[0].id, rows[1].id]);
    let reopened = store.reopen_deliveries(rows[0].organisation_id, &oldest, at(9_000), None).await.unwrap();
    assert_eq!(reopened, [(rows[0].subscriber, owner.number); 2]);
    let open_again = open(&store, &owner).await;
    assert_eq!(open_again.iter().map(|row| row.id).collect::<Vec<_>>(), [rows[0].id, rows[1].id]);
    for row in &open_again {
        assert_eq!((row.status, row.next_attempt_at), (DeliveryStatus::Pending, Some(due_at(9_000))));
        assert_eq!((row.tries, row.attempt_count, row.attempts.len()), (0, 1, 1));
    }
    assert_eq!(store.oldest_deliveries(&filter, 2).await.unwrap(), (vec![rows[2].id], false));
    assert_eq!(store.reopen_deliveries(rows[0].organisation_id, &[], at(1), None).await.unwrap(), []);
}

#[tokio::test]
async fn a_replay_of_events_makes_what_is_missing_and_opens_the_rest() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 3).await;
    let rows = [1, 2, 3].map(|n| delivery(n.try_into().unwrap(), &owner, n));
    assert!(take_in(&store, &owner, (0, 3), &rows[1..]).await);
    store.record_deliveries(&[tried(rows[1].clone(), AttemptOutcome::Delivered)]).await.unwrap();
    // New ids for all of them; those that are there keep theirs.
    let fresh = [1, 2, 3].map(|n| Delivery {
        id: DeliveryId::from_bits(10 + u128::try_from(n).unwrap()),
        next_attempt_at: Some(due_at(9_000)),
        ..delivery(n.try_into().unwrap(), &owner, n)
    });
    store.replay_deliveries(&fresh, &HashMap::new(), None).await.unwrap();
    let now_open = open(&store, &owner).await;
    let ids: Vec<_> = now_open.iter().map(|row| (row.sequence, row.id, row.attempt_count)).collect();
    assert_eq!(ids, [(1, fresh[0].id, 0), (2, rows[1].id, 1), (3, rows[2].id, 0)]);
    assert!(now_open.iter().all(|row| row.tries == 0 && row.next_attempt_at == Some(due_at(9_000))));
    store.delete_subscription(SubscriptionId::from_bits(1), at(9_001)).await.unwrap();
    store.replay_deliveries(&fresh, &HashMap::new(), None).await.unwrap();
    assert!(open(&store, &owner).await.is_empty(), "a deleted subscription is owed nothing");
}

#[tokio::test]
async fn whoever_has_something_to_bring_is_found() {
    let (store, _guard) = store().await;
    let mut owner = logged(&store, 1).await;
    store.insert_subscription(&subscription(2), None).await.unwrap();
    let found = async |work| store.delivery_work(work).await.unwrap();
    let expected = [(SUBSCRIBER, owner.number)];
    assert_eq!(found(DeliveryWork::OfAccount(owner.number)).await, expected, "a log beyond the cursor");
    assert_eq!(found(DeliveryWork::Of(SUBSCRIBER)).await, expected);
    assert!(found(DeliveryWork::OfAccount(owner.number + 1)).await.is_empty());
    let row = delivery(1, &owner, 1);
    assert!(take_in(&store, &owner, (0, 1), std::slice::from_ref(&row)).await);
    if store.is_shared() {
        // A node that is there looks after its own.
        store.remove_node(NODE).await.unwrap();
    }
    assert_eq!(found(DeliveryWork::Unserved).await, expected, "an open delivery");
    store.record_deliveries(&[tried(row, AttemptOutcome::Delivered)]).await.unwrap();
    assert!(found(DeliveryWork::Unserved).await.is_empty());
    thread(&store, &mut owner, 2).await;
    let paused = Subscription { status: SubscriptionStatus::Paused, ..subscription(1) };
    store.update_subscription(paused).await.unwrap().unwrap();
    let second = SubscriberId::Webhook(SubscriptionId::from_bits(2));
    assert_eq!(found(DeliveryWork::OfAccount(owner.number)).await, [(second, owner.number)]);
}

#[tokio::test]
async fn the_log_is_read_by_type_and_by_number() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 4).await;
    let created = [EventType::MessageCreated].into_iter().collect();
    let read = store.events_of(owner.number, (1, 3), created, 10).await.unwrap();
    assert_eq!(read.iter().map(|event| event.sequence).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.events_of(owner.number, (0, 4), created, 2).await.unwrap().len(), 2);
    let other = [EventType::MessageStatus].into_iter().collect();
    assert!(store.events_of(owner.number, (0, 4), other, 10).await.unwrap().is_empty());
    assert!(store.events_of(owner.number, (0, 4), EventTypes::NONE, 10).await.unwrap().is_empty());
    let mut some = store.events_at(owner.number, &[4, 2, 404]).await.unwrap();
    some.sort_by_key(|event| event.sequence);
    assert_eq!(some.iter().map(|event| event.sequence).collect::<Vec<_>>(), [2, 4]);
}

#[tokio::test]
async fn deleting_a_subscription_gives_up_what_it_is_owed_and_time_removes_it() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 1).await;
    assert!(take_in(&store, &owner, (0, 1), &[delivery(1, &owner, 1)]).await);
    store.delete_subscription(SubscriptionId::from_bits(1), at(9)).await.unwrap();
    assert!(open(&store, &owner).await.is_empty());
    assert_eq!(listed(&store, &everything()).await[0].status, DeliveryStatus::Dead);
    let ages = PurgeAges::default();
    assert_eq!(
        store.purge_rows(at(5_001).plus_duration(ages.deliveries), &ages).await.unwrap(),
        1,
        "its event"
    );
    assert_eq!(store.purge_rows(at(5_002).plus_duration(ages.deliveries), &ages).await.unwrap(), 1);
    assert!(listed(&store, &everything()).await.is_empty());
}
