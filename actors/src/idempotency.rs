//! Idempotency keys: at most one call per (organisation, key) runs at a time, and its answer is stored for 24
//! hours in the transaction of its write.
//!
//! Within a process a lock in memory admits one call. Among several nodes the call is also claimed in the
//! database before it is run.
//!
//! Invariant: an answer is written only while the claim is valid; the store refuses it otherwise. So a node
//! that lost its lease writes nothing under a key that another one has taken. A claim is released when its call
//! ends without an answer, whether or not the client is still there. Of HTTP this module knows only a status
//! number; bodies are opaque text.

mod claims;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::domain::command::{CommandRefusal, CommandReply};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ContactId, NodeId, OrganisationId};
use kabar_core::store::{IdempotencyRecord, KeyState, RecordedBody, Store};
use kabar_core::surroundings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Cluster;
use crate::error::AccountError;

/// Time that a second call waits for the first (contract, section 3).
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two reads of a key that another node has claimed.
const CLAIM_LOOK_EVERY: Duration = Duration::from_millis(100);

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedResponse {
    /// HTTP status.
    pub status: u16,
    /// JSON without the request's id; the HTTP layer defines its form.
    pub body: RecordedBody,
    /// The contact that it shows: the answer goes when that is erased.
    pub contact_id: Option<ContactId>,
}

/// Renders the result of a write, as a rule the outcome of a command, into the answer to be stored.
pub type RenderResponse<T = Result<CommandReply, CommandRefusal>> =
    Box<dyn Fn(&T) -> RecordedResponse + Send + Sync>;

/// The lock of a key, shared by the call and by its command. So a client that disconnects does not admit a
/// second call while the first one's write is under way.
pub(crate) struct KeyLock {
    registry: IdempotencyKeys,
    organisation_id: OrganisationId,
    key: Arc<str>,
    fingerprint: [u8; 32],
    /// The node that holds the claim of the key in the database; `None`: this server is alone.
    claimed_by: Option<NodeId>,
    /// Set when the answer is durable, so the claim has ended.
    answered: AtomicBool,
    place: Option<OwnedSemaphorePermit>,
}

impl KeyLock {
    fn build_record(&self, answer: RecordedResponse, at: Timestamp) -> IdempotencyRecord {
        IdempotencyRecord {
            organisation_id: self.organisation_id,
            key: self.key.clone(),
            fingerprint: self.fingerprint,
            status: answer.status,
            body: answer.body,
            created_at: at,
            claimed_by: self.claimed_by,
            contact_id: answer.contact_id,
        }
    }

    fn note_answered(&self) {
        self.answered.store(true, Ordering::Release);
    }

    /// Takes the permit and the node, when a claim in the database has to be released before the permit.
    fn take_claim(&mut self) -> Option<(KeyLockHolder, NodeId)> {
        let place = KeyLockHolder {
            registry: self.registry.clone(),
            id: (self.organisation_id, self.key.clone()),
            permit: Some(self.place.take()?),
        };
        let node = self.claimed_by.filter(|_node| !self.answered.load(Ordering::Acquire))?;
        Some((place, node))
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        if let Some((place, node)) = self.take_claim() {
            place.release_later(node);
        }
    }
}

/// A held lock of a key; its entry in the map is removed on drop.
struct KeyLockHolder {
    registry: IdempotencyKeys,
    id: (OrganisationId, Arc<str>),
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for KeyLockHolder {
    fn drop(&mut self) {
        let mut gates = self.registry.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.permit.take());
        // The map holds the only reference: no call waits.
        if gates.get(&self.id).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.id);
        }
    }
}

/// A key that is passed with a command, or with another write, so that its answer commits with that.
pub struct KeyClaim<T = Result<CommandReply, CommandRefusal>> {
    gate: Arc<KeyLock>,
    render: RenderResponse<T>,
}

impl<T> std::fmt::Debug for KeyClaim<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyClaim")
            .field("organisation_id", &self.gate.organisation_id)
            .finish_non_exhaustive()
    }
}

impl<T> KeyClaim<T> {
    /// Returns `true` when an answer is stored under the key by now.
    pub(crate) async fn is_recorded(&self) -> Result<bool, AccountError> {
        Ok(matches!(self.gate.read_state().await?, KeyState::Answered(_)))
    }

    /// Returns `true` when the key belongs to another call by now, or that cannot be found out. An earlier
    /// commit of this same call with an unknown outcome counts as another call.
    pub(crate) async fn is_lost(&self) -> bool {
        match self.gate.read_state().await {
            Ok(KeyState::Free) => false,
            Ok(KeyState::Claimed(node)) => self.gate.claimed_by != Some(node),
            Ok(KeyState::Answered(_)) | Err(_) => true,
        }
    }

    /// Builds the record to commit. The key stays locked until the claim is dropped.
    pub(crate) fn build_record(&self, result: &T, at: Timestamp) -> IdempotencyRecord {
        self.gate.build_record((self.render)(result), at)
    }

    /// Notes that the record is durable, which saves the release of the key in the database.
    pub(crate) fn note_answered(&self) {
        self.gate.note_answered();
    }
}

type KeyLocks = Mutex<HashMap<(OrganisationId, Arc<str>), Arc<Semaphore>>>;

struct Registry {
    store: Store,
    cluster: Cluster,
    clock: Arc<Clock>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    gates: KeyLocks,
    /// Set when a claim could not be released, and a task tries again.
    sweeping: AtomicBool,
}

/// Handle to the idempotency keys of this server. Cheap to clone.
#[derive(Clone)]
pub struct IdempotencyKeys(Arc<Registry>);

/// Dependencies of [`IdempotencyKeys::new`].
pub struct IdempotencyParts {
    /// The durable side.
    pub store: Store,
    /// Membership of this server in the cluster.
    pub cluster: Cluster,
    /// Time.
    pub clock: Arc<Clock>,
    /// Tracker of the tasks that release claims.
    pub tasks: TaskTracker,
    /// Ends the attempts to release claims.
    pub stopping: CancellationToken,
}

/// Decision on a call with a key.
#[derive(Debug)]
pub enum KeyedCall {
    /// Run the call; it is the first.
    First(KeyPermit),
    /// Answer with this stored response.
    Replay(RecordedResponse),
    /// The key belongs to another call.
    Reused,
    /// The first call is still running.
    InProgress,
}

/// The right to run the one call of a key. Others wait until it, and its claim, are dropped.
pub struct KeyPermit(Arc<KeyLock>);

impl std::fmt::Debug for KeyPermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPermit").field("organisation_id", &self.0.organisation_id).finish_non_exhaustive()
    }
}

impl IdempotencyKeys {
    /// Creates the keys of one store.
    #[must_use]
    pub fn new(parts: IdempotencyParts) -> Self {
        Self(Arc::new(Registry {
            store: parts.store,
            cluster: parts.cluster,
            clock: parts.clock,
            tasks: parts.tasks,
            stopping: parts.stopping,
            gates: KeyLocks::default(),
            sweeping: AtomicBool::new(false),
        }))
    }

    fn lock_key(&self, id: &(OrganisationId, Arc<str>)) -> Arc<Semaphore> {
        let mut gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(id.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }

    /// Begins a call. Waits up to 30 s while the same key's first call runs, here or on another node.
    ///
    /// # Errors
    /// [`AccountError::Storage`] when the records cannot be read, or the key cannot be claimed.
    pub async fn begin_call(
        &self,
        organisation_id: OrganisationId,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<KeyedCall, AccountError> {
        let fingerprint = self.0.store.secrets().hide_fingerprint(fingerprint);
        let until = Instant::now() + WAIT_TIMEOUT;
        let id = (organisation_id, Arc::<str>::from(key));
        let gate = self.lock_key(&id);
        let waited = tokio::time::timeout_at(until, gate.acquire_owned()).await;
        let Ok(Ok(permit)) = waited else { return Ok(KeyedCall::InProgress) };
        let gate = KeyLock {
            registry: self.clone(),
            organisation_id,
            key: id.1,
            fingerprint,
            claimed_by: self.0.cluster.is_shared().then(|| self.0.cluster.node_id()),
            answered: AtomicBool::new(false),
            place: Some(permit),
        };
        let gate = Arc::new(gate);
        loop {
            match gate.clone().enter().await? {
                KeyState::Free => return Ok(KeyedCall::First(KeyPermit(gate))),
                KeyState::Answered(record) => {
                    // This call has no claim to release.
                    gate.note_answered();
                    return Ok(if record.fingerprint == fingerprint {
                        KeyedCall::Replay(RecordedResponse {
                            status: record.status,
                            body: record.body,
                            contact_id: None,
                        })
                    } else {
                        KeyedCall::Reused
                    });
                }
                KeyState::Claimed(_) if Instant::now() + CLAIM_LOOK_EVERY < until => {
                    surroundings::sleep(CLAIM_LOOK_EVERY).await;
                }
                KeyState::Claimed(_) => {
                    gate.note_answered();
                    return Ok(KeyedCall::InProgress);
                }
            }
        }
    }
}

impl KeyPermit {
    /// Makes a claim for a command or another write, which then stores its answer in its own commit.
    #[must_use]
    pub fn claim_key<T>(&self, render: RenderResponse<T>) -> KeyClaim<T> {
        KeyClaim { gate: self.0.clone(), render }
    }

    /// Stores an answer that was decided without an account's commit.
    ///
    /// # Errors
    /// [`AccountError::Storage`] when it cannot be written.
    pub async fn record_response(self, answer: RecordedResponse) -> Result<(), AccountError> {
        let registry = &self.0.registry.0;
        let record = self.0.build_record(answer, registry.clock.read_now());
        let written = registry.store.insert_idempotency_record(record).await;
        if written.is_ok() {
            self.0.note_answered();
        }
        self.end().await;
        written.map_err(|error| AccountError::from_store(&error, "idempotency record not written"))
    }

    /// Ends a call. A call without an answer to store frees its key, on every node, before this returns. A
    /// command that is still under way with the key keeps it, and frees it when it ends.
    pub async fn end(self) {
        if let Some(mut gate) = Arc::into_inner(self.0)
            && let Some((place, node)) = gate.take_claim()
        {
            place.release(node).await;
        }
    }
}
