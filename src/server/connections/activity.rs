//! Activity of one connection: its requests under way, and the head that it waits for.
//!
//! Invariant: a request costs two additions to counters and no look at a clock. `overdue` interprets the counters.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use kabar_core::domain::monotonic::MonotonicInstant;

/// Counters of one connection.
#[derive(Debug)]
pub(super) struct ConnectionActivity {
    /// Requests begun, and writes that a slow client took at last.
    begun: AtomicU64,
    /// Requests ended, and the same writes.
    ended: AtomicU64,
    /// Instant at which an incomplete head began, in milliseconds; 0 while none is.
    head_began_ms: AtomicU64,
}

/// Counters of one connection at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ActivityReading {
    /// Changes with every request.
    pub(super) begun: u64,
    /// `true` while a request is under way.
    pub(super) busy: bool,
    /// Instant at which the head that is incomplete began.
    pub(super) head_began: Option<MonotonicInstant>,
}

impl ConnectionActivity {
    /// Counts from the acceptance, at which the wait for the first head begins.
    pub(super) fn new(accepted: MonotonicInstant) -> Arc<Self> {
        let activity =
            Self { begun: AtomicU64::new(0), ended: AtomicU64::new(0), head_began_ms: AtomicU64::new(0) };
        activity.note_head(accepted);
        Arc::new(activity)
    }

    /// Notes that a head has begun.
    pub(super) fn note_head(&self, at: MonotonicInstant) {
        self.head_began_ms.store(at.millis().max(1), Ordering::Relaxed);
    }

    /// Notes that no head is incomplete.
    pub(super) fn clear_head(&self) {
        if self.awaits_head() {
            self.head_began_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Returns `true` while a head is incomplete.
    pub(super) fn awaits_head(&self) -> bool {
        self.head_began_ms.load(Ordering::Relaxed) != 0
    }

    /// Notes that a client that had stopped reading went on.
    pub(super) fn note_late_write(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Release);
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.begun.fetch_add(1, Ordering::Relaxed);
        RequestGuard(self.clone())
    }

    pub(super) fn read_counters(&self) -> ActivityReading {
        // Ends are read first, so that a request in between makes the connection busy, not idle.
        let ended = self.ended.load(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Relaxed);
        let head = self.head_began_ms.load(Ordering::Relaxed);
        let head_began = (head != 0).then(|| MonotonicInstant::from_millis(head));
        ActivityReading { begun, busy: begun != ended, head_began }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<ConnectionActivity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

/// A response body whose request is under way until it is dropped.
pub(super) struct CountedBody<B> {
    body: B,
    _request: RequestGuard,
}

impl<B> CountedBody<B> {
    pub(super) const fn new(body: B, request: RequestGuard) -> Self {
        Self { body, _request: request }
    }
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
