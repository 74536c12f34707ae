//! Pages of the log: whole, in order, bounded, and honest about what is gone.

use super::*;
use crate::domain::event::{EventType, EventTypes};
use crate::domain::log::{EventPage, EventQuery, LogRead};
use crate::domain::page::PageLimit;
use crate::store::PurgeAges;

fn query(after: i64, types: &[EventType], limit: i64) -> EventQuery {
    let types = if types.is_empty() { EventTypes::all_types() } else { types.iter().copied().collect() };
    EventQuery { after, types, limit: PageLimit::new(limit).unwrap() }
}

async fn page(store: &Store, owner: &Owner, asked: &EventQuery) -> EventPage {
    match store.event_page(owner.number, asked, owner.sequence).await.unwrap() {
        LogRead::Page(page) => page,
        LogRead::Expired { oldest } => panic!("{asked:?} expired; the oldest is {oldest}"),
    }
}

fn numbers(page: &EventPage) -> Vec<i64> {
    page.events.iter().map(|event| event.sequence).collect()
}

/// An account with so many events: every tenth an update of a contact, the others its creation.
async fn log_of(store: &Store, events: usize) -> Owner {
    let mut owner = Owner::of(store, 1).await;
    let kinds = (1..=events).map(|nth| {
        let contact = contact(1);
        if nth % 10 == 0 { EventKind::ContactUpdated(contact) } else { EventKind::ContactCreated(contact) }
    });
    let changes = AccountChanges { events: kinds.collect(), ..AccountChanges::default() };
    store.commit(owner.cycle(changes)).await.unwrap();
    owner
}

#[tokio::test]
async fn pages_walk_the_log_once() {
    let (store, _guard) = store().await;
    let owner = log_of(&store, 55).await;
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = page(&store, &owner, &query(after, &[], 25)).await;
        seen.extend(numbers(&page));
        assert_eq!(page.last_sequence, *seen.last().unwrap());
        assert_eq!(page.has_more, page.last_sequence < 55);
        after = page.last_sequence;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, (1..=55).collect::<Vec<_>>());
    for beyond in [55, 56, i64::MAX] {
        let page = page(&store, &owner, &query(beyond, &[], 25)).await;
        assert_eq!(page, EventPage::empty_at(beyond));
    }
    // A page that ends with the log says so.
    assert!(!page(&store, &owner, &query(30, &[], 25)).await.has_more);
}

#[tokio::test]
async fn a_filtered_page_looks_at_a_bounded_part_and_says_how_far() {
    let (store, _guard) = store().await;
    let owner = log_of(&store, 2500).await;
    let updates = [EventType::ContactUpdated];
    let first = page(&store, &owner, &query(0, &updates, 3)).await;
    assert_eq!((numbers(&first), first.last_sequence, first.has_more), (vec![10, 20, 30], 30, true));
    // Nothing of the type in all that was looked at: the reader goes on from there.
    let none = [EventType::MessageSent];
    let mut after = 0;
    for reached in [1000, 2000, 2500] {
        let page = page(&store, &owner, &query(after, &none, 100)).await;
        assert_eq!((numbers(&page), page.last_sequence, page.has_more), (vec![], reached, reached < 2500));
        after = page.last_sequence;
    }
    let both = page(&store, &owner, &query(2488, &[updates[0], none[0]], 100)).await;
    assert_eq!((numbers(&both), both.last_sequence, both.has_more), (vec![2490, 2500], 2500, false));
    // The reader's idea of the end bounds it, whatever has come since.
    let known = store.event_page(owner.number, &query(10, &[], 9), 12).await.unwrap();
    let LogRead::Page(known) = known else { panic!("expired") };
    assert_eq!((numbers(&known), known.last_sequence, known.has_more), (vec![11, 12], 12, false));
}

#[tokio::test]
async fn what_was_purged_is_told_and_never_skipped() {
    let (store, _guard) = store().await;
    let mut owner = log_of(&store, 1200).await;
    let ages = PurgeAges::default();
    let stale = at(owner.now).next().plus_duration(ages.events);
    assert_eq!(store.purge_rows(stale, &ages).await.unwrap(), 1000);
    let expired = LogRead::Expired { oldest: 1001 };
    for (after, types) in [(1, &[][..]), (999, &[]), (5, &[EventType::MessageSent])] {
        let read = store.event_page(owner.number, &query(after, types, 10), owner.sequence).await.unwrap();
        assert_eq!(read, expired, "{after}");
    }
    assert_eq!(numbers(&page(&store, &owner, &query(1000, &[], 2)).await), [1001, 1002]);
    assert_eq!(numbers(&page(&store, &owner, &query(0, &[], 2)).await), [1001, 1002]);
    let filtered = page(&store, &owner, &query(0, &[EventType::ContactUpdated], 1)).await;
    assert_eq!((numbers(&filtered), filtered.last_sequence), (vec![1010], 1010));
    // All of it goes; whoever has read it to its end has missed nothing.
    assert_eq!(store.purge_rows(stale, &ages).await.unwrap(), 200);
    let read = store.event_page(owner.number, &query(1199, &[], 10), 1200).await.unwrap();
    assert_eq!(read, LogRead::Expired { oldest: 1201 });
    assert_eq!(page(&store, &owner, &query(1200, &[], 10)).await, EventPage::empty_at(1200));
    assert_eq!(page(&store, &owner, &query(0, &[], 10)).await, EventPage::empty_at(1200));
    let news =
        AccountChanges { events: vec![EventKind::ContactUpdated(contact(1))], ..AccountChanges::default() };
    store.commit(owner.cycle(news)).await.unwrap();
    for after in [0, 1200] {
        assert_eq!(numbers(&page(&store, &owner, &query(after, &[], 10)).await), [1201]);
    }
}
