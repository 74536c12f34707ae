//! Reads request bodies whole, so that no operation gets a body beyond its limit.
//!
//! Invariants: runs after the key and the budget, so an unauthenticated body is never kept; only the body of a webhook,
//! whose signature is over it, is read before, out of a common budget. A body that comes more slowly than
//! [`BYTES_PER_WINDOW`] is refused. A body that is there already costs no timer.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use kabar_core::clock::Clock;
use poem::error::ReadBodyError;
use poem::http::Method;
use poem::http::header::CONTENT_LENGTH;
use poem::{Body, Request};

use super::body_budget::BodyShare;
use crate::rest::error::{ApiError, ErrorCode};

/// Time over which the rate of a body is measured. The first window asks for nothing.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// Bytes that each further window brings at least: 10 KiB a second (contract, section 28).
const BYTES_PER_WINDOW: usize = 50 * 1024;

/// Rules for reading a body.
pub(super) struct BodyRules<'a> {
    /// Limit of the body.
    pub(super) bytes_max: usize,
    /// Clock that measures the rate.
    pub(super) clock: &'a Clock,
    /// Share of the common budget that the body is read out of, while the request is not authenticated.
    pub(super) share: Option<&'a BodyShare>,
}

/// Reason that a body was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyError {
    /// The request itself is at fault.
    Refused(ApiError),
    /// The body came too slowly.
    TooSlow,
    /// The common budget is used up.
    NoBudget,
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Refused(refusal) => refusal,
            BodyError::TooSlow => Self::new(
                ErrorCode::InvalidRequest,
                "the body came too slowly; send at least 10 KiB a second",
            ),
            BodyError::NoBudget => {
                Self::new(ErrorCode::Overloaded, "too many bodies are being received; try again shortly")
            }
        }
    }
}

/// Reads the body into memory, if the method has one.
pub(super) async fn read_body(request: &mut Request, rules: BodyRules<'_>) -> Result<(), BodyError> {
    // A GET's body has no meaning (RFC 9110, 9.3.1), and is not read.
    if request.method() == Method::GET {
        return Ok(());
    }
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let announced = announced.map(|bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > rules.bytes_max) {
        return Err(BodyError::Refused(ApiError::payload_too_large(rules.bytes_max)));
    }
    let chunks = request.take_body().into_bytes_stream();
    let bytes = collect_chunks(chunks, &rules).await?;
    request.set_body(Body::from_bytes(bytes));
    Ok(())
}

/// Body read so far. A body of one chunk is not copied. Memory grows with what has come: of a body that was only
/// announced, the system would give the first page of the whole, which may be 2 MiB large.
#[derive(Default)]
struct CollectedBody {
    only: Bytes,
    many: BytesMut,
}

impl CollectedBody {
    fn len(&self) -> usize {
        self.only.len() + self.many.len()
    }

    fn push_chunk(&mut self, chunk: Bytes) {
        if self.len() == 0 {
            self.only = chunk;
            return;
        }
        if self.many.is_empty() {
            self.many.reserve(self.only.len() + chunk.len());
            self.many.extend_from_slice(&std::mem::take(&mut self.only));
        }
        self.many.extend_from_slice(&chunk);
    }

    fn into_bytes(self) -> Bytes {
        if self.many.is_empty() { self.only } else { self.many.freeze() }
    }
}

async fn collect_chunks(
    chunks: impl Stream<Item = std::io::Result<Bytes>>,
    rules: &BodyRules<'_>,
) -> Result<Bytes, BodyError> {
    let mut chunks = pin!(chunks);
    let mut body = CollectedBody::default();
    let mut wanted = 0;
    loop {
        let before = body.len();
        let mut window = pin!(rules.clock.sleep_for(RATE_WINDOW));
        loop {
            // A chunk that is there goes before the end of the window.
            let chunk = tokio::select! {
                biased;
                chunk = chunks.next() => chunk,
                () = &mut window => break,
            };
            let Some(chunk) = chunk else { return Ok(body.into_bytes()) };
            let chunk =
                chunk.map_err(|error| BodyError::Refused(ApiError::from(&ReadBodyError::Io(error))))?;
            if body.len() + chunk.len() > rules.bytes_max {
                return Err(BodyError::Refused(ApiError::payload_too_large(rules.bytes_max)));
            }
            if rules.share.is_some_and(|share| !share.take_bytes(chunk.len())) {
                return Err(BodyError::NoBudget);
            }
            body.push_chunk(chunk);
        }
        if body.len() - before < wanted {
            return Err(BodyError::TooSlow);
        }
        wanted = BYTES_PER_WINDOW;
    }
}

#[cfg(test)]
mod tests;
