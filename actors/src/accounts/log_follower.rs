//! Progress of a node in the log of changes that other nodes make.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;

use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::encryption::EncryptionKeyId;
use kabar_core::ids::NodeId;

/// Progress of a node in the log of changes.
pub(super) struct LogFollower {
    /// Subscribers are known up to this revision of the directory.
    pub(super) subscribers: tokio::sync::Mutex<i64>,
    /// Subscribers that have changed, and have delivery workers that were not started or woken since.
    changed: std::sync::Mutex<BTreeSet<SubscriberId>>,
    /// Time until which the directory is fresh; milliseconds of the leases' clock.
    pub(super) fresh_until_ms: AtomicU64,
    /// Held by the request that reads the changes.
    pub(super) asking: tokio::sync::Mutex<()>,
    /// Rotation of keys, as this node knows it.
    pub(super) rotation: tokio::sync::Mutex<RotationState>,
    /// Held by the request that rotates keys.
    pub(super) rotating: tokio::sync::Mutex<()>,
}

/// Progress of a node in a rotation of the keys of secrets.
#[derive(Default)]
pub(super) struct RotationState {
    /// Revision of the directory up to which rotations are known.
    pub(super) known: Option<i64>,
    /// `true` while the key file lacks the key of a rotation.
    pub(super) lacking: bool,
    /// The keys that the other nodes were told of, and the id under which.
    pub(super) reported: Option<(NodeId, Vec<EncryptionKeyId>)>,
}

impl LogFollower {
    /// Starts at the revision at which subscribers were read.
    pub(super) fn from(revision: i64) -> Self {
        Self {
            subscribers: tokio::sync::Mutex::new(revision),
            changed: std::sync::Mutex::default(),
            fresh_until_ms: AtomicU64::new(0),
            asking: tokio::sync::Mutex::default(),
            rotation: tokio::sync::Mutex::default(),
            rotating: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn lock_changed(&self) -> std::sync::MutexGuard<'_, BTreeSet<SubscriberId>> {
        // No thread panics half-way through a change of it.
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
