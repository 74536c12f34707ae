//! Pages over Redis: what is kept, for how long, and what is not believed.

use bytes::Bytes;

use super::*;
use crate::redis::{RedisPage, RedisPageKey};

const LIFE: Duration = Duration::from_secs(8);

fn page(head: &'static [u8]) -> RedisPage {
    RedisPage { etag: Bytes::from_static(b"W/\"a:1\""), head: Bytes::from_static(head), rows: 3 }
}

fn place(revision: i64) -> RedisPageKey {
    RedisPageKey::new(7, revision, "messages#25")
}

/// The page, as soon as it has been put.
async fn arrived(memory: &RedisCache, place: &RedisPageKey) -> (RedisPage, Duration) {
    tokio::time::timeout(WAIT_TIMEOUT, async {
        loop {
            if let Some(found) = memory.find_page(place).await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it arrives in time")
}

#[tokio::test]
async fn a_page_is_found_by_another_node_with_its_age() {
    let (clock, key) = (noon(), rand::random());
    let (one, other) = (node(&key, clock.clone()).await, node(&key, clock.clone()).await);
    one.put_page(&place(1), &page(b"{"), LIFE);
    let (found, left) = arrived(&other, &place(1)).await;
    assert_eq!(found, page(b"{"));
    assert!(left <= LIFE && !left.is_zero(), "{left:?}");
    clock.advance_manual(Duration::from_secs(5));
    let (_, left) = other.find_page(&place(1)).await.unwrap();
    assert!(left <= Duration::from_secs(3), "{left:?}");
    clock.advance_manual(Duration::from_secs(3));
    assert_eq!(other.find_page(&place(1)).await, None, "eight seconds in all");
    assert_eq!(
        (other.0.metrics.shared_page_hits.get() >= 2, one.0.metrics.shared_page_hits.get()),
        (true, 0)
    );
}

#[tokio::test]
async fn redis_forgets_a_page_in_time_however_long_it_was_to_live() {
    let memory = node(&rand::random(), noon()).await;
    memory.put_page(&place(1), &page(b"{"), Duration::from_mins(1));
    arrived(&memory, &place(1)).await;
    let key = format!("{}{}", memory.0.prefix, place(1).0);
    let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut stranger().await).await.unwrap();
    assert!((1..=8000).contains(&left), "{left}");
}

#[tokio::test]
async fn other_revisions_questions_accounts_and_installations_have_other_pages() {
    let memory = node(&rand::random(), noon()).await;
    memory.put_page(&place(1), &page(b"{"), LIFE);
    arrived(&memory, &place(1)).await;
    for other in [place(2), RedisPageKey::new(8, 1, "messages#25"), RedisPageKey::new(7, 1, "messages#26")] {
        assert_eq!(memory.find_page(&other).await, None, "{other:?}");
    }
    let stranger = node(&rand::random(), noon()).await;
    assert_eq!(stranger.find_page(&place(1)).await, None);
}

#[tokio::test]
async fn what_was_not_sealed_for_this_place_is_no_page() {
    let memory = node(&rand::random(), noon()).await;
    memory.put_page(&place(1), &page(b"{\"data\""), LIFE);
    arrived(&memory, &place(1)).await;
    let mut stranger = stranger().await;
    let key = |place: &RedisPageKey| format!("{}{}", memory.0.prefix, place.0);
    let value: Vec<u8> = redis::cmd("GET").arg(key(&place(1))).query_async(&mut stranger).await.unwrap();
    let mut flipped = value.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for junk in [value, flipped, Vec::new(), vec![0; 31], vec![0; 32], vec![255; 5000], b"junk".to_vec()] {
        let mut set = redis::cmd("SET");
        set.arg(key(&place(2))).arg(&junk).arg("PX").arg(8000).exec_async(&mut stranger).await.unwrap();
        assert_eq!(memory.find_page(&place(2)).await, None, "{} bytes", junk.len());
    }
    redis::cmd("LPUSH").arg(key(&place(3))).arg("junk").exec_async(&mut stranger).await.unwrap();
    assert_eq!(memory.find_page(&place(3)).await, None);
    assert!(memory.0.link.as_ref().unwrap().is_up(), "nobody suffers for it");
}

#[tokio::test]
async fn large_pages_are_not_kept_and_nobody_waits() {
    let memory = node(&rand::random(), noon()).await;
    let large = RedisPage { head: Bytes::from(vec![b'x'; 256 * 1024 + 1]), ..page(b"") };
    memory.put_page(&place(1), &large, LIFE);
    // Nothing here yields, so the queue is full long before the end.
    for revision in 2..1000 {
        memory.put_page(&place(revision), &page(b"{"), LIFE);
    }
    arrived(&memory, &place(2)).await;
    arrived(&memory, &place(65)).await;
    for missing in [1, 66, 999] {
        assert_eq!(memory.find_page(&place(missing)).await, None, "{missing}");
    }
}

#[tokio::test]
async fn while_redis_is_away_there_are_no_pages() {
    let memory = node(&rand::random(), noon()).await;
    cut(&memory);
    let commands = memory.0.metrics.redis_commands.get();
    memory.put_page(&place(1), &page(b"{"), LIFE);
    assert_eq!(memory.find_page(&place(1)).await, None);
    assert_eq!(memory.0.metrics.redis_commands.get(), commands, "nobody asked");
}
