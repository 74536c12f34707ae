//! Streams of events: the log from a position on, for as long as the client listens.
//!
//! Invariants: a stream keeps at most one part of the log in memory. It reads the next one only when the client
//! asks for it, so a slow reader delays nothing but itself. All streams at the same position share the part. A
//! stream waits for the account's publications and never polls the database for new events. A caller that is
//! not accepted any more receives nothing more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kabar_core::domain::log::EventQuery;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::ids::OrganisationId;
use kabar_core::metrics::Metrics;
use kabar_core::surroundings::{AwaitKind, wait_for};

use super::polls::WaitCounter;
use super::{AccountError, AccountRegistry};
use crate::account_entry::AccountEntry;
use crate::read_query::{ReadQuery, RenderedPage};
use crate::tenants::Caller;

/// The longest silence of a stream (contract, section 9).
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Counts of open streams.
#[derive(Debug, Default)]
struct OpenStreams {
    all: usize,
    of: HashMap<OrganisationId, usize>,
}

/// Permits of all streams in this process.
#[derive(Debug, Default, Clone)]
pub(super) struct StreamPermits(Arc<Mutex<OpenStreams>>);

impl StreamPermits {
    fn lock_open(&self) -> MutexGuard<'_, OpenStreams> {
        // No thread panics half-way through a change of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquire_permit(&self, organisation: OrganisationId, (all_max, own_max): (usize, usize)) -> bool {
        let mut taken = self.lock_open();
        let own = taken.of.get(&organisation).copied().unwrap_or(0);
        if taken.all >= all_max || own >= own_max {
            return false;
        }
        taken.all = taken.all.saturating_add(1);
        taken.of.insert(organisation, own.saturating_add(1));
        true
    }

    fn give_back(&self, organisation: OrganisationId) {
        let mut taken = self.lock_open();
        taken.all = taken.all.saturating_sub(1);
        let left = taken.of.get(&organisation).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            taken.of.remove(&organisation);
        } else {
            taken.of.insert(organisation, left);
        }
    }
}

/// A permit of one stream. Given back when it is dropped.
struct StreamPermit {
    seats: StreamPermits,
    organisation: OrganisationId,
    metrics: Arc<Metrics>,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.seats.give_back(self.organisation);
        self.metrics.event_streams.dec();
    }
}

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
    slot: Arc<AccountEntry>,
    caller: Arc<Caller>,
    query: EventQuery,
    _seat: StreamPermit,
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
    /// [`AccountError::Overloaded`] when too many are open already; [`AccountError::Expired`] when the
    /// position is older than the log; as [`AccountRegistry::read_response`] else.
    pub async fn open_stream(
        &self,
        slot: &Arc<AccountEntry>,
        caller: &Arc<Caller>,
        query: EventQuery,
    ) -> Result<EventStream, AccountError> {
        let organisation = caller.key.organisation_id;
        let most = (self.0.options.event_streams, self.0.options.tenant_event_streams);
        if !self.0.streams.acquire_permit(organisation, most) {
            self.0.metrics.overloads.inc();
            return Err(AccountError::Overloaded);
        }
        self.0.metrics.event_streams.inc();
        let (seats, metrics) = (self.0.streams.clone(), self.0.metrics.clone());
        let seat = StreamPermit { seats, organisation, metrics };
        // Any error of the first read refuses the stream. The page is kept by the view.
        self.read_response(slot, &ReadQuery::EventFrames(query), None).await?;
        let (accounts, slot, caller) = (self.clone(), slot.clone(), caller.clone());
        Ok(EventStream { accounts, slot, caller, query, _seat: seat })
    }
}

impl EventStream {
    /// Returns the next frame. `None` at the end: the server stops, the caller is not accepted any more, or the
    /// log cannot be read further. A client that opens a stream at the last position misses nothing.
    pub async fn next(&mut self) -> Option<StreamFrame> {
        let until = self.accounts.context().clock.monotonic_now().saturating_plus(SILENCE_MAX);
        loop {
            let ground = self.accounts.context();
            if ground.stopping.is_cancelled() || !ground.directory.still_admits(&self.caller) {
                return None;
            }
            match self.read_batch(until).await {
                // A key that was revoked at another node gets nothing either.
                Ok(Some(StreamFrame::Events(_))) if !self.is_still_admitted().await => return None,
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(ended) => {
                    tracing::debug!(account = %self.slot.current_account().id, %ended, "event stream ended");
                    return None;
                }
            }
        }
    }

    async fn is_still_admitted(&self) -> bool {
        let is_fresh = self.accounts.ensure_fresh_directory().await.is_ok();
        is_fresh && self.accounts.context().directory.still_admits(&self.caller)
    }

    /// Reads once behind the position, and waits if nothing is there.
    async fn read_batch(&mut self, until: MonotonicInstant) -> Result<Option<StreamFrame>, AccountError> {
        let Self { accounts, slot, query, .. } = self;
        let ground = accounts.context();
        let resident = accounts.load_account(slot).await?;
        let _here = WaitCounter::start_wait(&resident.streaming, usize::MAX);
        // Subscribed before the view is read: a publication between the two is not missed.
        let mut published = resident.watch_publications();
        let asked = accounts.ask_of(&resident, &ReadQuery::EventFrames(*query), None).await?;
        let Some((page, reach)) = asked.page.and_then(|page| Some((page.clone(), page.reach?))) else {
            return Err(AccountError::Crashed);
        };
        query.after = query.after.max(reach.last_sequence);
        if page.rows > 0 {
            ground.metrics.streamed_events.inc_by(u64::try_from(page.rows).unwrap_or(0));
            return Ok(Some(StreamFrame::Events(page)));
        }
        if reach.has_more {
            return Ok(None);
        }
        tokio::select! {
            // An error means that the loaded account was evicted: look for its successor.
            _published = wait_for(AwaitKind::Publication, published.changed()) => Ok(None),
            () = resident.node_lease().stopped_running() => Ok(None),
            () = ground.clock.wait_until(until) => Ok(Some(StreamFrame::Silence(query.after))),
            () = ground.stopping.cancelled() => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_each_and_for_all() {
        let seats = StreamPermits::default();
        let [a, b, c] = [1, 2, 3].map(OrganisationId::from_bits);
        let take = |organisation| seats.acquire_permit(organisation, (3, 2));
        assert!(take(a) && take(a) && !take(a), "two are its own most");
        assert!(take(b) && !take(b) && !take(c), "three are the most of all");
        seats.give_back(a);
        assert!(take(c) && !take(a));
        for organisation in [a, b, c] {
            seats.give_back(organisation);
        }
        assert!(seats.lock_open().all == 0 && seats.lock_open().of.is_empty());
    }
}
