//! A connection that ends when its client stops reading.
//!
//! Invariant: unread data of a client is kept for [`STALL_MAX`] at most. Without this a client that opens a
//! stream, or requests a large page, and reads nothing would hold its buffers for as long as its machine
//! runs. The server's process time is used.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::metrics::Metrics;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Longest time that a write may wait without any byte being taken.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Clock and counters of the write timeout.
#[derive(Clone)]
pub(in crate::server) struct WriteTimeout {
    /// Clock that measures the wait.
    pub(in crate::server) clock: Arc<Clock>,
    /// Counter of the timeouts.
    pub(in crate::server) metrics: Arc<Metrics>,
}

type StallTimer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection with a write timeout.
pub(super) struct TimedStream {
    stream: TcpStream,
    write_timeout: WriteTimeout,
    /// Timer that runs while a write waits.
    stalled: Option<StallTimer>,
}

impl TimedStream {
    pub(super) const fn new(stream: TcpStream, write_timeout: WriteTimeout) -> Self {
        Self { stream, write_timeout, stalled: None }
    }

    /// Returns a write's outcome, or ends a wait that has lasted too long.
    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let clock = &self.write_timeout.clock;
        let wait = self.stalled.get_or_insert_with(|| {
            let clock = clock.clone();
            Box::pin(async move { clock.sleep_for(STALL_MAX).await })
        });
        if wait.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.stalled = None;
        self.write_timeout.metrics.slow_readers.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
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
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
