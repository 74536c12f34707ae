//! Replays that are asked for while an attempt is under way, of deliveries and of runs.

use std::collections::HashMap;

use super::delivery_work::{RETRY, delivery, logged, open, take_in, tried};
use super::plugins::{HOOK, PLUGIN, plugin, record, stage, write};
use super::*;
use crate::domain::delivery::{AttemptOutcome, Delivery, DeliveryStatus};
use crate::domain::event::EventType;

#[tokio::test]
async fn a_replay_during_an_attempt_outlasts_its_outcome() {
    let (store, _guard) = store().await;
    let owner = logged(&store, 3).await;
    let rows = [1, 2, 3].map(|n| delivery(n.try_into().unwrap(), &owner, n));
    assert!(take_in(&store, &owner, (0, 3), &rows).await);
    // Attempts at all of them are under way while two are replayed, each in its way.
    store.reopen_deliveries(rows[0].organisation_id, &[rows[0].id], at(5_900), None).await.unwrap();
    let again = Delivery { next_attempt_at: Some(due_at(5_900)), ..delivery(9, &owner, 2) };
    store.replay_deliveries(&[again], &HashMap::new(), None).await.unwrap();
    let ended = [
        tried(rows[0].clone(), AttemptOutcome::Delivered),
        tried(rows[1].clone(), RETRY),
        tried(rows[2].clone(), AttemptOutcome::Delivered),
    ];
    assert_eq!(store.record_deliveries(&ended).await.unwrap(), [rows[2].id]);
    let open_again = open(&store, &owner).await;
    assert_eq!(open_again.iter().map(|row| row.id).collect::<Vec<_>>(), [rows[0].id, rows[1].id]);
    for (row, attempt) in open_again.iter().zip(&ended) {
        assert_eq!((row.status, row.tries, row.replays), (DeliveryStatus::Pending, 0, 1));
        assert_eq!((row.attempt_count, &row.attempts), (1, &attempt.attempts), "the attempt is kept");
        assert_eq!(row.wait_until(at(6_012)), Some(std::time::Duration::ZERO), "due at once");
    }
    // The attempts that the replays ask for end them.
    let last: Vec<_> = open_again.into_iter().map(|row| tried(row, AttemptOutcome::Delivered)).collect();
    assert_eq!(store.record_deliveries(&last).await.unwrap().len(), 2);
    assert!(open(&store, &owner).await.is_empty());
}

#[tokio::test]
async fn a_run_that_is_replayed_during_an_attempt_stays_due() {
    let (store, _guard) = store().await;
    let (owner, rows) = stage(&store, 2).await;
    store.reopen_run(PLUGIN, rows[0].id.into(), at(5_900)).await.unwrap();
    let types = [EventType::MessageStatus, EventType::MessageCreated].into_iter().collect();
    let opened =
        store.open_runs(&plugin(1), types, (owner.number, 2, 2), 10, at(5_900), &mut Counting(70)).await;
    assert_eq!(opened.unwrap().opened, 1);
    let retry = AttemptOutcome::Retry { after: None };
    let ended = [record(rows[0].clone(), AttemptOutcome::Delivered), record(rows[1].clone(), retry)];
    assert_eq!(write(&store, "a", None, Vec::new(), &ended).await, Some(0));
    let due = store.open_deliveries(HOOK, owner.number, 0, 10).await.unwrap();
    assert_eq!(due.len(), 2);
    for (row, attempt) in due.iter().zip(&ended) {
        assert_eq!((row.status, row.tries, row.replays), (DeliveryStatus::Pending, 0, 1));
        assert_eq!((row.attempt_count, &row.attempts), (1, &attempt.delivery.attempts));
    }
    assert_eq!(store.pending_effects(owner.number, 10).await.unwrap().len(), 2, "the attempt counts");
    let last: Vec<_> = due.into_iter().map(|row| record(row, AttemptOutcome::Delivered)).collect();
    assert_eq!(write(&store, "b", None, Vec::new(), &last).await, Some(0));
    assert!(store.open_deliveries(HOOK, owner.number, 0, 10).await.unwrap().is_empty());
}
