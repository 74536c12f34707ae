//! A connection whose reads are followed by the guard of heads, and that ends when its client stops reading.
//!
//! Invariant: unread data of a client is kept for [`STALL_MAX`] at most. Without this a client that opens a
//! stream, or requests a large page, and reads nothing would hold its buffers for as long as its machine
//! runs. The server's process time is used, and read only where a head comes in pieces.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::metrics::Metrics;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::ConnectionContext;
use super::activity::ConnectionActivity;
use super::head_guard::{HEAD_END, HeadGuard};

/// Longest time that a write may wait without any byte being taken.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Bytes of a body that are taken and thrown away after a request was answered without it, at most.
const DISCARDED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest time for which such bytes are waited for.
const DISCARD_TIME: Duration = Duration::from_secs(2);

type StallTimer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection with a guard of heads and a write timeout.
pub(super) struct TimedStream {
    stream: TcpStream,
    guard: HeadGuard,
    activity: Arc<ConnectionActivity>,
    clock: Arc<Clock>,
    request_clock: Arc<Clock>,
    metrics: Arc<Metrics>,
    /// Timer that runs while a write waits.
    stalled: Option<StallTimer>,
    /// Set once nothing more is written.
    closing: Option<ClosingStream>,
}

/// The end of a connection on which a body is still coming.
struct ClosingStream {
    discarded: usize,
    timer: StallTimer,
}

impl TimedStream {
    pub(super) fn new(
        stream: TcpStream,
        activity: Arc<ConnectionActivity>,
        context: &ConnectionContext,
    ) -> Self {
        Self {
            stream,
            guard: HeadGuard::new(),
            activity,
            clock: context.clock.clone(),
            request_clock: context.request_clock.clone(),
            metrics: context.metrics.clone(),
            stalled: None,
            closing: None,
        }
    }

    /// Follows bytes that were read, and notes the head that they leave incomplete.
    fn watch_read(&mut self, bytes: &mut [u8]) {
        let head_ended = self.guard.follow_bytes(bytes);
        if !self.guard.is_incomplete() {
            if head_ended {
                self.activity.clear_head();
            }
        } else if head_ended || !self.activity.awaits_head() {
            self.activity.note_head(self.request_clock.monotonic_now());
        }
    }

    /// Takes what is left of a body and throws it away. To close a connection with bytes that were not taken
    /// would reset it, and the client might lose the answer (RFC 9112, 9.6).
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let clock = &self.request_clock;
        let closing = self.closing.get_or_insert_with(|| {
            let clock = clock.clone();
            let timer = Box::pin(async move { clock.sleep_for(DISCARD_TIME).await });
            ClosingStream { discarded: 0, timer }
        });
        let mut bytes = [0; 4096];
        while closing.discarded < DISCARDED_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    closing.discarded += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return closing.timer.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }

    /// Returns a write's outcome, or ends a wait that has lasted too long.
    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.activity.note_late_write();
            }
            return written;
        }
        let wait = self.stalled.get_or_insert_with(|| {
            let clock = self.clock.clone();
            Box::pin(async move { clock.sleep_for(STALL_MAX).await })
        });
        if wait.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.stalled = None;
        self.metrics.slow_readers.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() >= HEAD_END.len() && this.guard.take_spoilt() {
            buffer.put_slice(HEAD_END);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if let Some(bytes) = buffer.filled_mut().get_mut(before..).filter(|bytes| !bytes.is_empty()) {
            this.watch_read(bytes);
        }
        read
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if this.guard.has_bytes_to_come() {
            ready!(this.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }
}
