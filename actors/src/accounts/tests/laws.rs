//! Laws under concurrent writers: no stale read, no skipped row in a delta sync, tags that tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::page::{ConversationQuery, PageLimit, PagePosition};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::ConversationId;

use super::fixture::{AccountFixture, LIST_KEY, inbound, text_of};
use crate::context::AccountRegistryOptions;
use crate::view::{CachedResponse, ReadQuery};

/// Threads by id: when they changed, and how much is unread.
type Picture = BTreeMap<String, (i64, u32)>;

fn rows_of(asked: &CachedResponse) -> Vec<(String, (i64, u32))> {
    let text = text_of(asked);
    let rows = text.split_terminator(';').map(|row| {
        let (id, rest) = row.split_once('@').unwrap();
        let (at, unread) = rest.split_once(':').unwrap();
        (id.to_owned(), (at.parse().unwrap(), unread.parse().unwrap()))
    });
    rows.collect()
}

/// Reads every page of a list, from the top down, as a client does.
async fn sync(fixture: &AccountFixture, since: Option<i64>, picture: &mut Picture) -> Option<i64> {
    let mut newest = None;
    let mut query = ConversationQuery {
        updated_since: Some(Timestamp::from_millis(since.unwrap_or(0))),
        limit: PageLimit::new(3).unwrap(),
        ..ConversationQuery::default()
    };
    loop {
        let asked = fixture
            .accounts
            .read_response(&fixture.entry, &ReadQuery::Conversations(query.clone()), None)
            .await
            .unwrap();
        let rows = rows_of(&asked);
        newest = newest.or_else(|| rows.first().map(|row| row.1.0));
        if let Some((id, (at, _))) = rows.last().filter(|_| rows.len() == 3) {
            query.after = Some(PagePosition { key: *at, id: ConversationId::parse(id).unwrap().bits() });
            picture.extend(rows);
        } else {
            picture.extend(rows);
            return newest.or(since);
        }
    }
}

async fn churn(resident_conversations: usize) {
    let options = AccountRegistryOptions { resident_conversations, ..AccountRegistryOptions::default() };
    let fixture = Arc::new(AccountFixture::open(options).await);
    let mut writers = Vec::new();
    for writer in 0..4_u32 {
        let fixture = fixture.clone();
        writers.push(fixture.clone().tasks.spawn(async move {
            for n in 0..60 {
                fixture.ingest(writer * 5 + n % 5, n).await;
            }
        }));
    }
    let (mut picture, mut since) = (Picture::new(), None);
    while writers.iter().any(|writer| !writer.is_finished()) {
        since = sync(&fixture, since, &mut picture).await;
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    sync(&fixture, since, &mut picture).await;
    let mut fresh = Picture::new();
    sync(&fixture, None, &mut fresh).await;
    assert_eq!(fresh.len(), 20);
    assert_eq!(fresh.values().map(|row| row.1).sum::<u32>(), 240);
    assert_eq!(picture, fresh, "deltas add up to what a fresh read shows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_add_up_in_memory() {
    churn(1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_add_up_across_the_horizon() {
    churn(6).await;
}

/// Every poll that starts after a write was acknowledged sees that write, however many write and
/// poll at once, through both lanes; and equal tags mean equal pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_stale_and_no_tag_lies() {
    let fixture = Arc::new(AccountFixture::open(AccountRegistryOptions::default()).await);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..3_u32)
        .map(|writer| {
            let (fixture, acknowledged) = (fixture.clone(), acknowledged.clone());
            fixture.clone().tasks.spawn(async move {
                for n in 0..150 {
                    let items = vec![inbound(writer, n)];
                    fixture
                        .accounts
                        .execute_command(&fixture.entry, AccountCommand::Ingest(items), None)
                        .await
                        .unwrap()
                        .unwrap();
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let question = ReadQuery::Conversations(ConversationQuery::default());
    let mut tags = BTreeMap::new();
    let mut polls = 0_u64;
    while writers.iter().any(|writer| !writer.is_finished()) {
        let floor = acknowledged.load(Ordering::SeqCst);
        let asked = match fixture.accounts.cached_response(&fixture.entry, LIST_KEY) {
            Some(asked) => asked,
            None => fixture
                .accounts
                .read_response(&fixture.entry, &question, Some(LIST_KEY.request))
                .await
                .unwrap(),
        };
        let seen: u32 = rows_of(&asked).iter().map(|row| row.1.1).sum();
        assert!(u64::from(seen) >= floor, "saw {seen} of {floor} acknowledged");
        let page = asked.page.as_ref().unwrap();
        let before = tags.insert(page.etag.clone(), page.head.clone());
        assert!(before.is_none_or(|before| before == page.head), "one tag, two pages");
        polls += 1;
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(polls > 20, "the readers kept up");
    let heads: std::collections::BTreeSet<_> = tags.values().collect();
    assert_eq!(heads.len(), tags.len(), "one page, two tags");
}
