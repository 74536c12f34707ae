//! WASI as far as guests of the usual languages need it to start: clocks, randomness, and a standard output and
//! error that are written to the log. No files, no sockets, no name lookups, no input, and no environment but
//! the plugin's config.
//!
//! Created on first use: small guests never use it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kabar_core::domain::run::LogLevel;
use kabar_core::domain::time::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use crate::invocation::Invocation;
use crate::runtime::log_buffer::LogBuffer;

/// Most bytes of an unfinished line.
const LINE_BYTES_MAX: usize = 4096;

/// Most random bytes that one call returns.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// Builds the WASI context of one run.
pub(crate) fn build_context(
    invocation: &Invocation,
    started: Instant,
    log: &LogBuffer,
    random: &mut StdRng,
) -> WasiCtx {
    let clock = GuestClock { now: invocation.now, started };
    let mut builder = WasiCtxBuilder::new();
    for (key, value) in invocation.config.iter() {
        builder.env(key, value);
    }
    builder
        .arg("hook")
        .stdout(LogLineWriter { log: log.clone(), level: LogLevel::Info, open: Vec::new() })
        .stderr(LogLineWriter { log: log.clone(), level: LogLevel::Error, open: Vec::new() })
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .secure_random(StdRng::from_rng(random))
        .insecure_random(StdRng::from_rng(random))
        .insecure_random_seed(random.random())
        .max_random_size(RANDOM_BYTES_MAX)
        .wall_clock(clock)
        .monotonic_clock(clock)
        .build()
}

/// The run's clock, which starts at the invocation's time.
#[derive(Debug, Clone, Copy)]
struct GuestClock {
    now: Timestamp,
    started: Instant,
}

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        let began = u64::try_from(self.now.millis()).unwrap_or_default();
        Duration::from_millis(began) + self.started.elapsed()
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Splits written bytes into lines of the log.
struct LogLineWriter {
    log: LogBuffer,
    level: LogLevel,
    open: Vec<u8>,
}

impl LogLineWriter {
    fn take_in(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' || self.open.len() >= LINE_BYTES_MAX {
                self.close_line();
            }
            if *byte != b'\n' {
                self.open.push(*byte);
            }
        }
    }

    fn close_line(&mut self) {
        self.log.write_line(self.level, &String::from_utf8_lossy(&self.open));
        self.open.clear();
    }

    fn clone_writer(&self) -> Self {
        Self { log: self.log.clone(), level: self.level, open: Vec::new() }
    }
}

impl Drop for LogLineWriter {
    fn drop(&mut self) {
        if !self.open.is_empty() {
            self.close_line();
        }
    }
}

impl IsTerminal for LogLineWriter {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogLineWriter {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone_writer())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone_writer())
    }
}

impl AsyncWrite for LogLineWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take_in(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogLineWriter {
    async fn ready(&mut self) {}
}

impl OutputStream for LogLineWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take_in(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}
