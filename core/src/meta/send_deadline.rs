//! The deadline of a request, kept by its body.
//!
//! Invariant: the connection gets the body before the deadline or not at all. It asks for the body in the step in
//! which it writes the request, so a process that was stopped on the way there sends no whole request later.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::clock::Clock;
use crate::domain::monotonic::MonotonicInstant;

/// Time until which a message may be sent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SendDeadline {
    clock: Arc<Clock>,
    at: MonotonicInstant,
}

/// Error of a body that was asked for after its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the request was not written before its deadline")]
pub(super) struct DeadlinePassed;

/// Body of a request that is not sent after its deadline.
#[derive(Debug)]
pub(super) struct DeadlineBody {
    bytes: Option<Bytes>,
    deadline: SendDeadline,
}

impl SendDeadline {
    /// Creates a deadline by this clock.
    #[must_use]
    pub const fn new(clock: Arc<Clock>, at: MonotonicInstant) -> Self {
        Self { clock, at }
    }

    fn has_passed(&self) -> bool {
        self.clock.monotonic_now() >= self.at
    }
}

impl DeadlineBody {
    pub(super) const fn new(bytes: Bytes, deadline: SendDeadline) -> Self {
        Self { bytes: Some(bytes), deadline }
    }
}

impl Body for DeadlineBody {
    type Data = Bytes;
    type Error = DeadlinePassed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DeadlinePassed>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        let frame = if self.deadline.has_passed() { Err(DeadlinePassed) } else { Ok(Frame::data(bytes)) };
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}
