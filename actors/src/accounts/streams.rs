//! Streams of events: the log from a position on, for as long as the client listens.
//!
//! Invariants: a stream keeps at most one part of the log in memory. It reads the next one only when the client
//! asks for it, so a slow reader delays nothing but itself. Of the tenant with the most streams the oldest ends when
//! another tenant finds none free. All streams at the same position share the part. A
//! stream waits for the account's publications and never polls the database for new events. A caller that is
//! not accepted any more receives nothing more.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::log::EventQuery;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::fair_bound::RevocablePermit;
use kabar_core::metrics::Metrics;
use kabar_core::surroundings::{AwaitKind, wait_for};

use super::polls::WaitCounter;
use super::registry::AccountRegistry;
use crate::account::AccountEntry;
use crate::error::AccountError;
use crate::tenants::{AuthFailure, Caller};
use crate::view::{ReadQuery, RenderedPage};

/// The longest silence of a stream (contract, section 9).
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// One item of a stream.
#[derive(Debug)]
pub enum StreamFrame {
    /// Events, rendered for a stream.
    Events(Arc<RenderedPage>),
    /// There was no event for a while. The log was read up to this number.
    Silence(i64),
}

/// An open stream of one account's events.
pub struct EventStream {
    accounts: AccountRegistry,
    entry: Arc<AccountEntry>,
    caller: Arc<Caller>,
    query: EventQuery,
    permit: RevocablePermit,
    _open: OpenGauge,
}

/// Guard that shows an open stream in the metrics.
struct OpenGauge(Arc<Metrics>);

impl OpenGauge {
    fn start_stream(metrics: Arc<Metrics>) -> Self {
        metrics.event_streams.inc();
        Self(metrics)
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        self.0.event_streams.dec();
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("query", &self.query).finish_non_exhaustive()
    }
}

impl AccountRegistry {
    /// Opens a stream of the events that the query finds, now and later.
    ///
    /// # Errors
    /// [`AccountError::Overloaded`] when the tenant has its share already; [`AccountError::Expired`] when the
    /// position is older than the log; as [`AccountRegistry::read_response`] else.
    pub async fn open_stream(
        &self,
        entry: &Arc<AccountEntry>,
        caller: &Arc<Caller>,
        query: EventQuery,
    ) -> Result<EventStream, AccountError> {
        let organisation = caller.key.organisation_id;
        let metrics = &self.0.context.metrics;
        let Some(permit) = self.0.streams.claim(organisation) else {
            metrics.overloads.inc();
            return Err(AccountError::Overloaded);
        };
        let open = OpenGauge::start_stream(metrics.clone());
        // Any error of the first read refuses the stream. The page is kept by the view.
        self.read_response(entry, &ReadQuery::EventFrames(query), None).await?;
        let (accounts, entry, caller) = (self.clone(), entry.clone(), caller.clone());
        Ok(EventStream { accounts, entry, caller, query, permit, _open: open })
    }
}

impl EventStream {
    /// Returns the next frame. `None` at the end: the server stops, the caller is not accepted any more, its
    /// permit was taken back for another tenant, or the log cannot be read further. A client that opens a stream at
    /// the last position misses nothing.
    pub async fn next(&mut self) -> Option<StreamFrame> {
        let until = self.accounts.context().clock.monotonic_now().saturating_plus(SILENCE_MAX);
        loop {
            let context = self.accounts.context();
            let is_over = context.stopping.is_cancelled() || self.permit.is_revoked();
            if is_over || self.check_access().is_err() {
                return None;
            }
            match self.read_batch(until).await {
                // A key that was revoked at another node gets nothing either.
                Ok(Some(StreamFrame::Events(_))) if !self.is_still_admitted().await => return None,
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(ended) => {
                    tracing::debug!(account = %self.entry.current_account().id, %ended, "event stream ended");
                    return None;
                }
            }
        }
    }

    async fn is_still_admitted(&self) -> bool {
        let is_fresh = self.accounts.ensure_fresh_directory().await.is_ok();
        is_fresh && self.check_access().is_ok()
    }

    fn check_access(&self) -> Result<(), AuthFailure> {
        self.accounts.0.directory.check_access(&self.caller)
    }

    /// Reads once behind the position, and waits if nothing is there.
    async fn read_batch(&mut self, until: MonotonicInstant) -> Result<Option<StreamFrame>, AccountError> {
        let Self { accounts, entry, caller, query, permit, .. } = self;
        let context = accounts.context();
        let loaded = accounts.load_account(entry).await?;
        let _here = WaitCounter::start_wait(&loaded.streaming);
        // Subscribed before the view is read: a publication between the two is not missed.
        let mut published = loaded.watch_publications();
        let asked = accounts.ask_of(&loaded, &ReadQuery::EventFrames(*query), None).await?;
        let Some((page, reach)) = asked.page.and_then(|page| Some((page.clone(), page.reach?))) else {
            return Err(AccountError::Crashed);
        };
        query.after = query.after.max(reach.last_sequence);
        if page.rows > 0 {
            context.metrics.streamed_events.inc_by(u64::try_from(page.rows).unwrap_or(0));
            return Ok(Some(StreamFrame::Events(page)));
        }
        if reach.has_more {
            return Ok(None);
        }
        tokio::select! {
            // An error means that the loaded account was evicted: look for its successor.
            _published = wait_for(AwaitKind::Publication, published.changed()) => Ok(None),
            () = loaded.node_lease().stopped_running() => Ok(None),
            () = context.clock.wait_until(until) => Ok(Some(StreamFrame::Silence(query.after))),
            () = permit.wait_revoked() => Ok(None),
            () = context.stopping.cancelled() => Ok(None),
            _ended = accounts.0.directory.until_access_ends(caller) => Ok(None),
        }
    }
}
