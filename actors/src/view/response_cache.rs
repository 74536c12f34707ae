//! Rendered pages of one kind of row, valid until a row of that kind changes.
//!
//! Invariants: equal queries that come together are rendered once. A page is never served beyond its time. A
//! cell that was dropped is never found again, so an answer computed before a change is never served after it.
//! Bounded: a full cache is emptied.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kabar_core::domain::monotonic::MonotonicInstant;
use tokio::sync::OnceCell;

use super::query::{CachedResponse, ReadQuery, RenderedPage};

/// Most cells of one cache. At 14 KB for a page of 25 conversations, 3.5 MB per account at the very most.
const CELLS_MAX: usize = 256;

#[derive(Debug)]
struct CacheSlot {
    page: Option<Arc<RenderedPage>>,
    expires_at: MonotonicInstant,
}

impl CacheSlot {
    fn to_response(&self, hit: bool, now: MonotonicInstant) -> CachedResponse {
        let ttl_s = self.expires_at.saturating_since(now).map_or(0, |left| left.as_secs());
        CachedResponse { page: self.page.clone(), hit, ttl_s }
    }
}

#[derive(Debug, Default)]
struct CacheCell {
    filled: OnceCell<CacheSlot>,
    dropped: AtomicBool,
}

impl CacheCell {
    fn is_stale(&self, now: MonotonicInstant) -> bool {
        self.dropped.load(Ordering::Acquire)
            || self.filled.get().is_some_and(|filled| filled.expires_at <= now)
    }
}

#[derive(Debug, Default)]
struct CacheCells {
    by_question: HashMap<ReadQuery, Arc<CacheCell>>,
    by_request: HashMap<Box<str>, Arc<CacheCell>>,
}

impl CacheCells {
    fn clear_cells(&mut self) {
        for cell in self.by_question.values() {
            cell.dropped.store(true, Ordering::Release);
        }
        self.by_question.clear();
        self.by_request.clear();
    }

    fn expire_cells(&mut self, now: MonotonicInstant) {
        self.by_question.retain(|_, cell| !cell.is_stale(now));
        self.by_request.retain(|_, cell| !cell.is_stale(now));
    }
}

/// Rendered pages, by query and by request.
#[derive(Debug, Default)]
pub(crate) struct ResponseCache(Mutex<CacheCells>);

impl ResponseCache {
    fn lock_cells(&self) -> MutexGuard<'_, CacheCells> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the page that was last given for exactly this request, if it may still be served.
    pub(crate) fn find_by_request(&self, request: &str, now: MonotonicInstant) -> Option<CachedResponse> {
        let cell = self.lock_cells().by_request.get(request).cloned()?;
        if cell.is_stale(now) {
            return None;
        }
        cell.filled.get().map(|filled| filled.to_response(true, now))
    }

    fn find_cell(
        &self,
        question: &ReadQuery,
        request: Option<&str>,
        now: MonotonicInstant,
    ) -> Arc<CacheCell> {
        let mut cells = self.lock_cells();
        if cells.by_question.len() >= CELLS_MAX || cells.by_request.len() >= CELLS_MAX {
            cells.expire_cells(now);
            if cells.by_question.len() >= CELLS_MAX || cells.by_request.len() >= CELLS_MAX {
                cells.clear_cells();
            }
        }
        let known = cells.by_question.get(question).filter(|cell| !cell.is_stale(now)).cloned();
        let cell = known.unwrap_or_else(|| {
            let fresh = Arc::<CacheCell>::default();
            cells.by_question.insert(question.clone(), fresh.clone());
            fresh
        });
        if let Some(request) = request {
            cells.by_request.insert(request.into(), cell.clone());
        }
        cell
    }

    /// Returns the page for a query: the cached one, or the one that `fill` computes, once for all concurrent
    /// callers. `fill` also gives the time for which the page may be served.
    pub(crate) async fn read_through<E, F>(
        &self,
        question: &ReadQuery,
        request: Option<&str>,
        now: MonotonicInstant,
        fill: impl FnOnce() -> F,
    ) -> Result<CachedResponse, E>
    where
        F: Future<Output = Result<(Option<Arc<RenderedPage>>, Duration), E>>,
    {
        let cell = self.find_cell(question, request, now);
        if let Some(filled) = cell.filled.get() {
            return Ok(filled.to_response(true, now));
        }
        let fill = async {
            fill().await.map(|(page, ttl)| CacheSlot { page, expires_at: now.saturating_plus(ttl) })
        };
        let filled = cell.filled.get_or_try_init(|| fill).await?;
        Ok(filled.to_response(false, now))
    }

    /// Drops the pages for these queries; returns when no reader can find them any more.
    pub(crate) fn forget_queries(&self, questions: impl Iterator<Item = ReadQuery>) {
        let mut cells = self.lock_cells();
        for question in questions {
            if let Some(cell) = cells.by_question.remove(&question) {
                cell.dropped.store(true, Ordering::Release);
            }
        }
    }

    /// Drops all pages.
    pub(crate) fn forget_all(&self) {
        let questions: Vec<ReadQuery> = self.lock_cells().by_question.keys().cloned().collect();
        self.forget_queries(questions.into_iter());
    }

    /// Removes pages that may not be served any more.
    pub(crate) fn expire_responses(&self, now: MonotonicInstant) {
        self.lock_cells().expire_cells(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kabar_core::ids::MessageId;
    use std::sync::atomic::AtomicU32;

    fn page(text: &'static str) -> Arc<RenderedPage> {
        Arc::new(RenderedPage {
            etag: Bytes::from_static(b"W/\"x\""),
            head: Bytes::from_static(text.as_bytes()),
            rows: 1,
            reach: None,
            compressed: std::sync::OnceLock::new(),
        })
    }

    fn question(n: u128) -> ReadQuery {
        ReadQuery::Message(MessageId::from_bits(n))
    }

    async fn ask(cache: &ResponseCache, n: u128, now: u64, text: &'static str) -> CachedResponse {
        let path = format!("/{n}");
        let filled = cache
            .read_through(&question(n), Some(&path), MonotonicInstant::from_millis(now), || async {
                Ok::<_, std::convert::Infallible>((Some(page(text)), Duration::from_secs(8)))
            })
            .await;
        match filled {
            Ok(asked) => asked,
            Err(never) => match never {},
        }
    }

    fn text(asked: &CachedResponse) -> &[u8] {
        &asked.page.as_ref().unwrap().head
    }

    #[tokio::test]
    async fn a_page_lives_eight_seconds_and_not_longer() {
        let cache = ResponseCache::default();
        assert!(!ask(&cache, 1, 0, "a").await.hit);
        let hit = ask(&cache, 1, 7_999, "b").await;
        assert!(hit.hit && text(&hit) == b"a" && hit.ttl_s == 0);
        assert!(cache.find_by_request("/1", MonotonicInstant::from_millis(7_999)).is_some());
        assert!(cache.find_by_request("/1", MonotonicInstant::from_millis(8_000)).is_none());
        let miss = ask(&cache, 1, 8_000, "b").await;
        assert!(!miss.hit && text(&miss) == b"b");
    }

    #[tokio::test]
    async fn what_was_forgotten_is_never_found_again() {
        let cache = Arc::new(ResponseCache::default());
        // A slow reader is filling the cell when the row changes.
        let (started, begun) = tokio::sync::oneshot::channel();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let slow = {
            let cache = cache.clone();
            async move {
                cache
                    .read_through(&question(1), Some("/1"), MonotonicInstant::START, || async move {
                        let _ = started.send(());
                        let _ = released.await;
                        Ok::<_, ()>((Some(page("old")), Duration::from_secs(8)))
                    })
                    .await
            }
        };
        let change = async {
            begun.await.unwrap();
            cache.forget_queries(std::iter::once(question(1)));
            release.send(()).unwrap();
        };
        let (late, ()) = tokio::join!(slow, change);
        assert_eq!(text(&late.unwrap()), b"old");
        assert!(cache.find_by_request("/1", MonotonicInstant::START).is_none());
        assert_eq!(text(&ask(&cache, 1, 0, "new").await), b"new");
    }

    #[tokio::test]
    async fn identical_misses_compute_once_and_a_failed_one_is_tried_again() {
        let cache = ResponseCache::default();
        let count = AtomicU32::new(0);
        let fill = || async {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>((Some(page("a")), Duration::from_secs(8)))
        };
        let q = question(1);
        let asks = (0..20).map(|_| cache.read_through(&q, None, MonotonicInstant::START, fill));
        for asked in futures_util::future::join_all(asks).await {
            assert_eq!(text(&asked.unwrap()), b"a");
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);

        let q = question(2);
        let failed = cache.read_through(&q, None, MonotonicInstant::START, || async {
            Err::<(Option<Arc<RenderedPage>>, _), _>("away")
        });
        assert_eq!(failed.await.unwrap_err(), "away");
        assert_eq!(text(&ask(&cache, 2, 0, "b").await), b"b");
    }

    #[tokio::test]
    async fn a_full_cache_stays_bounded_and_keeps_no_stale_path() {
        let cache = ResponseCache::default();
        for n in 0..5_000 {
            ask(&cache, n, 0, "a").await;
            assert!(
                cache.lock_cells().by_question.len() <= CELLS_MAX
                    && cache.lock_cells().by_request.len() <= CELLS_MAX
            );
        }
        for n in 0..5_000 {
            cache.forget_queries(std::iter::once(question(n)));
            assert!(cache.find_by_request(&format!("/{n}"), MonotonicInstant::START).is_none());
        }
    }
}
