//! Rotation of the keys under which secrets are stored, together with the other nodes.
//!
//! Invariants: no value is written under the new key before every node that lives can decrypt it, and values are
//! encrypted anew only once no node writes under an older key. Reads and writes go on meanwhile. What a crash cuts
//! off is taken up by the next rotation.

use std::path::PathBuf;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::account::Secret;
use kabar_core::encryption::{EncryptionKeyId, KeyError};
use kabar_core::store::{KeyRotation, RotationPhase, StoreError};
use kabar_core::surroundings;
use tokio::time::Instant;

use super::registry::AccountRegistry;
use crate::error::AccountError;

/// Time within which every node has to have the new key.
const NODES_TIME: Duration = Duration::from_secs(30);
/// Pause between two looks at the other nodes.
const NODES_LOOK_EVERY: Duration = Duration::from_millis(100);

/// A rotation that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedRotation {
    /// The key under which every secret is encrypted.
    pub key_id: EncryptionKeyId,
    /// File of the keys.
    pub key_file: PathBuf,
    /// Values that were encrypted anew.
    pub values: u64,
    /// The other keys of the file, which nothing in the database needs any more.
    pub older_key_ids: Vec<EncryptionKeyId>,
}

/// Reason that a rotation was not begun, or not finished.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The keys do not allow it; the text is for the operator.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Nodes do not have the new key.
    #[error(
        "these nodes do not have the key {key_id}: {addresses}; put its line first in their key files, and try again"
    )]
    NodesBehind {
        /// The new key.
        key_id: EncryptionKeyId,
        /// Addresses of the nodes.
        addresses: String,
    },
    /// The database could not be read or written.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl From<StoreError> for RotationError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Keys(error) = error {
            return Self::Keys(error);
        }
        Self::Account(AccountError::from_store(&error, "secrets not encrypted anew"))
    }
}

impl AccountRegistry {
    /// Encrypts all secrets under a new key: that of `offered`, else the first of the key file, else one that is
    /// made. Goes on with a rotation that was cut off.
    ///
    /// # Errors
    /// [`RotationError`]; every value stays readable, under the old key or the new one.
    pub async fn rotate_secrets(&self, offered: Option<Secret>) -> Result<FinishedRotation, RotationError> {
        let _one_at_a_time = self.0.following.rotating.lock().await;
        let store = &self.0.context.store;
        let keys = store.keys();
        let unfinished = store.has_secrets_beside(keys.newest_in_file()?).await?;
        let key_id = keys.choose_next(offered.as_ref(), unfinished)?;
        tracing::info!(%key_id, "encrypting all secrets anew");
        let values = if self.is_clustered() {
            let values = self.rotate_with_nodes(key_id).await;
            // A node that starts later has nothing to follow.
            store.announce_rotation(None).await?;
            values?
        } else {
            if !keys.write_under(key_id) {
                return Err(KeyError::Failed.into());
            }
            store.flush_writes().await?;
            store.encrypt_secrets_anew().await?
        };
        tracing::info!(%key_id, values, "all secrets are encrypted anew");
        let older_key_ids = keys.known_keys().into_iter().filter(|id| *id != key_id).collect();
        Ok(FinishedRotation { key_id, key_file: keys.source().path().to_owned(), values, older_key_ids })
    }

    async fn rotate_with_nodes(&self, key_id: EncryptionKeyId) -> Result<u64, RotationError> {
        let store = &self.0.context.store;
        let mut values = 0;
        self.have_nodes_follow(KeyRotation { key_id, phase: RotationPhase::Prepare }).await?;
        loop {
            let writing = KeyRotation { key_id, phase: RotationPhase::Write };
            self.have_nodes_follow(writing).await?;
            values += store.encrypt_secrets_anew().await?;
            // A node may have joined meanwhile.
            if store.nodes_behind(writing).await?.is_empty() && !store.has_secrets_beside(key_id).await? {
                return Ok(values);
            }
        }
    }

    /// Tells the nodes of a phase, and returns once all of them follow.
    async fn have_nodes_follow(&self, rotation: KeyRotation) -> Result<(), RotationError> {
        let store = &self.0.context.store;
        store.announce_rotation(Some(rotation)).await?;
        self.follow_log().await?;
        self.follow_rotation().await?;
        let until = Instant::now() + NODES_TIME;
        loop {
            let behind = store.nodes_behind(rotation).await?;
            if behind.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                let addresses: Vec<String> = behind.into_iter().map(|node| node.address).collect();
                let (key_id, addresses) = (rotation.key_id, addresses.join(", "));
                return Err(RotationError::NodesBehind { key_id, addresses });
            }
            surroundings::sleep(NODES_LOOK_EVERY).await;
        }
    }

    /// Chooses the key under which a node begins to write: the first of its file, if every node that lives has it; else
    /// that of the last rotation, so that nodes can be started one after the other with a longer file.
    pub(super) async fn choose_first_key(&self) -> Result<(), StoreError> {
        let store = &self.0.context.store;
        let (keys, node) = (store.keys(), self.0.cluster.node_id());
        let prepared = KeyRotation { key_id: keys.writing_key(), phase: RotationPhase::Prepare };
        let behind = store.nodes_behind(prepared).await?;
        if let Some(other) = behind.into_iter().find(|one| one.id != node)
            && let Some(last) = store.key_of_last_rotation().await?
            && last != prepared.key_id
            && keys.write_under(last)
        {
            let (first, other) = (prepared.key_id, other.address);
            tracing::warn!(%first, key = %last, other, "writing under the older key: another node lacks the first one");
        }
        self.follow_rotation().await
    }

    /// Does what a rotation demands of this node, and tells the other nodes the keys that it has.
    pub(super) async fn follow_rotation(&self) -> Result<(), StoreError> {
        let store = &self.0.context.store;
        let keys = store.keys();
        let mut state = self.0.following.rotation.lock().await;
        let revision = self.0.directory.known_revision();
        if state.known != Some(revision) {
            let followed = match store.find_rotation().await? {
                None => true,
                Some(KeyRotation { key_id, phase }) => {
                    let known = keys.knows_key(key_id);
                    if known && phase == RotationPhase::Write && keys.write_under(key_id) {
                        store.flush_writes().await?;
                    }
                    if !known && !state.lacking {
                        let error = KeyError::Unknown { path: keys.source().path().to_owned(), id: key_id };
                        tracing::error!(error = cause(&error), "a rotation of keys waits for this node");
                    }
                    known
                }
            };
            state.lacking = !followed;
            state.known = followed.then_some(revision);
        }
        let told = (self.0.cluster.node_id(), keys.known_keys());
        if state.reported.as_ref() != Some(&told) {
            store.report_keys(told.0, &told.1).await?;
            state.reported = Some(told);
        }
        Ok(())
    }
}
