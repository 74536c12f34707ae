//! Rendered pages read from the database, shared for 8 seconds with the node that serves the account next.
//!
//! A page is kept under the account, the *revision* of the view that it was built for, and its query. It is
//! never stale and never a false 304. One revision of an account is one state of its rows, because the
//! database's fence lets each revision be committed once. The caller puts a page only if it is exact for its
//! revision (no commit began while it was read). It looks for a page only under the revision that it would
//! read itself, while no commit is in progress. A late put is stored under a revision that no reader requests
//! any more. The tag is stored with its page.
//!
//! Other invariants: a page found here keeps its age, by the clock of Redis and by the node's, so it lives 8
//! s in all. A put never waits and is bounded. A page that this installation did not sign, or signed for
//! another key, is ignored. Only a database that is reset to an older state, while Redis still holds pages of
//! the newer one within those seconds, could mislead a reader.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use redis::aio::MultiplexedConnection;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::RedisCache;
use crate::domain::time::Timestamp;

/// The longest time that a page is kept (contract, section 4).
const LIFE_MAX: Duration = Duration::from_secs(8);
/// Larger pages are not kept.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Pages that may wait to be put, at most; further ones are dropped.
const QUEUE: usize = 64;
/// Pages of different versions are not mixed.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const MAC_BYTES: usize = 32;

/// A page as the server sends it, without the request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisPage {
    /// The value of the `ETag` header.
    pub etag: Bytes,
    /// The body up to the request's id.
    pub head: Bytes,
    /// Number of rows.
    pub rows: usize,
}

/// Key of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisPageKey(pub(super) String);

impl RedisPageKey {
    /// Returns the key of the result of a query at this revision of this account. Different queries have
    /// different texts.
    #[must_use]
    pub fn new(account_number: i64, revision: i64, question: &str) -> Self {
        let digest = hex::encode(Sha256::digest(question));
        Self(format!("page:{VERSION}:{account_number}:{revision}:{digest}"))
    }
}

/// A page that waits to be put.
pub(super) struct PendingPage {
    key: String,
    value: Vec<u8>,
    life: Duration,
    since: Instant,
}

/// Signs pages, and queues them for the task that puts them.
pub(super) struct PageWriter {
    key: [u8; 32],
    queue: mpsc::Sender<PendingPage>,
}

impl PageWriter {
    pub(super) fn new(secret: &[u8; 32]) -> (Self, mpsc::Receiver<PendingPage>) {
        let key = Sha256::new().chain_update("kabar pages in shared memory").chain_update(secret).finalize();
        let (queue, puts) = mpsc::channel(QUEUE);
        (Self { key: key.into(), queue }, puts)
    }

    fn compute_mac(&self, key: &str, sealed: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(key.as_bytes());
        mac.update(&[0]);
        mac.update(sealed);
        Some(mac)
    }

    fn sign_page(&self, key: &str, page: &RedisPage, made_at: Timestamp, life_ms: u64) -> Option<Vec<u8>> {
        let mut sealed = Vec::with_capacity(page.head.len() + 128);
        sealed.extend(made_at.millis().to_be_bytes());
        sealed.extend(life_ms.to_be_bytes());
        sealed.extend(u32::try_from(page.rows).ok()?.to_be_bytes());
        sealed.extend(u16::try_from(page.etag.len()).ok()?.to_be_bytes());
        sealed.extend_from_slice(&page.etag);
        sealed.extend_from_slice(&page.head);
        let mac = self.compute_mac(key, &sealed)?.finalize().into_bytes();
        Some([mac.as_slice(), &sealed].concat())
    }

    /// Returns the page, the time at which it was made, and its lifetime.
    fn verify_page(&self, key: &str, value: &Bytes) -> Option<(RedisPage, Timestamp, Duration)> {
        let (mac, rest) = value.split_at_checked(MAC_BYTES)?;
        self.compute_mac(key, rest)?.verify_slice(mac).ok()?;
        let (made_at, rest) = rest.split_first_chunk()?;
        let (life_ms, rest) = rest.split_first_chunk()?;
        let (rows, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (etag, head) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let page = RedisPage {
            etag: value.slice_ref(etag),
            head: value.slice_ref(head),
            rows: usize::try_from(u32::from_be_bytes(*rows)).ok()?,
        };
        let made_at = Timestamp::from_millis(i64::from_be_bytes(*made_at));
        Some((page, made_at, Duration::from_millis(u64::from_be_bytes(*life_ms))))
    }
}

impl RedisCache {
    /// Returns the page under this key, and the time for which it may still be served.
    pub async fn find_page(&self, place: &RedisPageKey) -> Option<(RedisPage, Duration)> {
        let link = self.0.link.as_ref().filter(|link| link.is_up())?;
        let key = format!("{}{}", self.0.prefix, place.0);
        let mut look = redis::pipe();
        look.get(&key).pttl(&key);
        let found: Result<(Option<Vec<u8>>, i64), _> = link
            .run_command(async |connection: &mut MultiplexedConnection| look.query_async(connection).await)
            .await;
        let page = found.ok().and_then(|(value, left_ms)| {
            let (page, made_at, life) = self.0.pages.verify_page(&key, &Bytes::from(value?))?;
            let age = self.0.clock.read_now().duration_since(made_at).unwrap_or_default();
            let left = Duration::from_millis(u64::try_from(left_ms).ok()?).min(life.checked_sub(age)?);
            (!left.is_zero()).then_some((page, left))
        });
        let metrics = &self.0.metrics;
        if page.is_some() {
            metrics.shared_page_hits.inc()
        } else {
            metrics.shared_page_misses.inc()
        };
        page
    }

    /// Keeps a page for as long as it may be served, 8 s at most. Never waits; a page that is too large, or
    /// exceeds the queue, is dropped.
    pub fn put_page(&self, place: &RedisPageKey, page: &RedisPage, life: Duration) {
        let is_up = self.0.link.as_ref().is_some_and(super::connection::RedisConnection::is_up);
        if !is_up || page.head.len() > HEAD_BYTES_MAX {
            return;
        }
        let life = life.min(LIFE_MAX);
        let key = format!("{}{}", self.0.prefix, place.0);
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(0);
        if let Some(value) = self.0.pages.sign_page(&key, page, self.0.clock.read_now(), life_ms) {
            // The queue is full: the next reader reads the page from the database.
            let _one_too_many =
                self.0.pages.queue.try_send(PendingPage { key, value, life, since: Instant::now() });
        }
    }

    /// Puts queued pages, until the node stops.
    pub(super) async fn put_pages(&self, mut puts: mpsc::Receiver<PendingPage>) {
        let Some(link) = &self.0.link else { return };
        loop {
            let put = tokio::select! {
                put = puts.recv() => put,
                () = self.0.closing.cancelled() => return,
            };
            let Some(put) = put else { return };
            let left_ms = put.life.saturating_sub(put.since.elapsed()).as_millis();
            if left_ms == 0 {
                continue;
            }
            let mut set = redis::cmd("SET");
            set.arg(&put.key).arg(&put.value).arg("PX").arg(u64::try_from(left_ms).unwrap_or(1));
            let kept = link
                .run_command(async |connection: &mut MultiplexedConnection| set.exec_async(connection).await);
            // The connection counts and handles a failure.
            let _seen = kept.await;
        }
    }
}
