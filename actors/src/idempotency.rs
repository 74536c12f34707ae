//! One key, one outcome: at most one call per (organisation, key) runs at a time, and its answer is
//! remembered for 24 hours in the transaction of its write.
//!
//! It knows nothing of HTTP but a status number; bodies are opaque text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::domain::command::{Refusal, Reply};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OrganisationId;
use kabar_core::store::{IdempotencyRecord, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::accounts::Unavailable;

/// How long an answer is remembered (contract, section 3).
const REMEMBERED: Duration = Duration::from_hours(24);
/// How long a second call waits for the first (contract, section 3).
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// HTTP status.
    pub status: u16,
    /// JSON without the request's id; its form is the HTTP surface's affair.
    pub body: Arc<str>,
}

/// Renders what was brought about, as a rule the outcome of a command, into the answer to be remembered.
pub type RenderAnswer<T = Result<Reply, Refusal>> = Box<dyn Fn(&T) -> RecordedAnswer + Send + Sync>;

/// The one place of a key, shared by the call and by its command, so that a client that hangs up
/// does not let a second call in while the first one's write is on its way.
pub(crate) struct Gate {
    registry: Idempotency,
    organisation_id: OrganisationId,
    key: Arc<str>,
    fingerprint: [u8; 32],
    place: Option<OwnedSemaphorePermit>,
}

impl Gate {
    fn record(&self, answer: RecordedAnswer, at: Timestamp) -> IdempotencyRecord {
        IdempotencyRecord {
            organisation_id: self.organisation_id,
            key: self.key.clone(),
            fingerprint: self.fingerprint,
            status: answer.status,
            body: answer.body,
            created_at: at,
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut gates = self.registry.gates.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.place.take());
        let id = (self.organisation_id, self.key.clone());
        // The map is the only owner left: nobody waits.
        if gates.get(&id).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&id);
        }
    }
}

/// A key that rides with a command, or with another write, so that its answer commits with that.
pub struct Claim<T = Result<Reply, Refusal>> {
    gate: Arc<Gate>,
    render: RenderAnswer<T>,
}

impl<T> std::fmt::Debug for Claim<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").field("organisation_id", &self.gate.organisation_id).finish_non_exhaustive()
    }
}

impl<T> Claim<T> {
    /// Whether an answer is remembered under the key by now.
    pub(crate) async fn is_recorded(&self) -> Result<bool, Unavailable> {
        let Gate { registry, organisation_id, key, .. } = &*self.gate;
        let not_before = registry.clock.now().minus(REMEMBERED);
        let known = registry.store.idempotency_record(*organisation_id, key, not_before).await;
        known
            .map(|known| known.is_some())
            .map_err(|error| Unavailable::of(&error, "idempotency record not read"))
    }

    /// The record to commit. The gate stays shut until the claim is dropped.
    pub(crate) fn record(&self, result: &T, at: Timestamp) -> IdempotencyRecord {
        self.gate.record((self.render)(result), at)
    }
}

type Gates = Mutex<HashMap<(OrganisationId, Arc<str>), Arc<Semaphore>>>;

/// See the module.
#[derive(Clone)]
pub struct Idempotency {
    store: Store,
    clock: Arc<Clock>,
    gates: Arc<Gates>,
}

/// What a call with a key may do.
#[derive(Debug)]
pub enum Begun {
    /// Run; it is the first.
    First(Permit),
    /// Answer this.
    Replay(RecordedAnswer),
    /// The key belongs to another call.
    Reused,
    /// The first call is still running.
    InProgress,
}

/// The right to run the one call of a key. Others wait until it, and its claim, are dropped.
pub struct Permit(Arc<Gate>);

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").field("organisation_id", &self.0.organisation_id).finish_non_exhaustive()
    }
}

impl Idempotency {
    /// Over this store.
    #[must_use]
    pub fn new(store: Store, clock: Arc<Clock>) -> Self {
        Self { store, clock, gates: Arc::default() }
    }

    fn gate(&self, id: &(OrganisationId, Arc<str>)) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(id.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }

    /// Begins a call. Waits up to 30 s while the same key's first call runs.
    ///
    /// # Errors
    /// [`Unavailable::Storage`] when the records cannot be read.
    pub async fn begin(
        &self,
        organisation_id: OrganisationId,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Begun, Unavailable> {
        let id = (organisation_id, Arc::<str>::from(key));
        let gate = self.gate(&id);
        let waited = tokio::time::timeout(PATIENCE, gate.acquire_owned()).await;
        let Ok(Ok(place)) = waited else { return Ok(Begun::InProgress) };
        let gate =
            Gate { registry: self.clone(), organisation_id, key: id.1, fingerprint, place: Some(place) };
        let not_before = self.clock.now().minus(REMEMBERED);
        let known = self.store.idempotency_record(organisation_id, key, not_before).await;
        let known = known.map_err(|error| Unavailable::of(&error, "idempotency record not read"))?;
        Ok(match known {
            None => Begun::First(Permit(Arc::new(gate))),
            Some(record) if record.fingerprint != fingerprint => Begun::Reused,
            Some(record) => Begun::Replay(RecordedAnswer { status: record.status, body: record.body }),
        })
    }
}

impl Permit {
    /// A claim for a command or another write, which then remembers its answer in its own commit.
    #[must_use]
    pub fn claim<T>(&self, render: RenderAnswer<T>) -> Claim<T> {
        Claim { gate: self.0.clone(), render }
    }

    /// Remembers an answer that was decided without an account's commit.
    ///
    /// # Errors
    /// [`Unavailable::Storage`] when it cannot be written.
    pub async fn record(self, answer: RecordedAnswer) -> Result<(), Unavailable> {
        let record = self.0.record(answer, self.0.registry.clock.now());
        let written = self.0.registry.store.insert_idempotency_record(record).await;
        written.map_err(|error| Unavailable::of(&error, "idempotency record not written"))
    }
}
