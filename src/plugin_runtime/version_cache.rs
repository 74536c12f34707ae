//! Loaded versions, and their compiled artefacts on disk.
//!
//! Invariants: a version is loaded once, however many callers need it; the disk is a cache: an artefact that
//! cannot be read or written there is compiled again. Only the host decides if an artefact is trusted. What belongs
//! to a version that is gone is removed by the next sweep.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kabar_core::config::Settings;
use kabar_core::ids::PluginVersionId;
use kabar_core::store::{Store, StoreError};
use kabar_plugins::LoadedVersion;
use tokio::sync::OnceCell;

use super::artifact_folder::ArtifactFolder;

/// Most loaded versions; the least recently used one is dropped first.
const READY_MAX: usize = 2000;

type VersionCell = Arc<OnceCell<Arc<LoadedVersion>>>;

#[derive(Default)]
struct ReadyVersions {
    cells: HashMap<PluginVersionId, (VersionCell, u64)>,
    uses: u64,
}

/// Cache of loaded versions and of their artefacts.
pub(super) struct VersionCache {
    folder: Option<ArtifactFolder>,
    ready: Mutex<ReadyVersions>,
}

impl VersionCache {
    /// Opens the cache in the folder of the settings, else beside an embedded database, else in memory only.
    pub(super) fn open(settings: &Settings) -> Self {
        Self { folder: ArtifactFolder::open(settings), ready: Mutex::default() }
    }

    fn version_cell(&self, id: PluginVersionId) -> VersionCell {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.uses += 1;
        let now = ready.uses;
        if ready.cells.len() >= READY_MAX && !ready.cells.contains_key(&id) {
            let oldest = ready.cells.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
            oldest.map(|oldest| ready.cells.remove(&oldest));
        }
        let (cell, used) = ready.cells.entry(id).or_default();
        *used = now;
        cell.clone()
    }

    /// Returns the version, which `load` loads if it is missing.
    pub(super) async fn get_or_load(
        &self,
        id: PluginVersionId,
        load: impl Future<Output = Result<Arc<LoadedVersion>, Arc<str>>>,
    ) -> Result<Arc<LoadedVersion>, Arc<str>> {
        self.version_cell(id).get_or_try_init(|| load).await.cloned()
    }

    /// Reads the artefact of a version, if present.
    pub(super) async fn read_artifact(&self, id: PluginVersionId) -> Option<Bytes> {
        self.folder.as_ref()?.read_artifact(id).await
    }

    /// Lists the versions that have an artefact on disk.
    pub(super) async fn list_artifacts(&self) -> Vec<PluginVersionId> {
        match &self.folder {
            Some(folder) => folder.list_versions().await,
            None => Vec::new(),
        }
    }

    /// Writes the artefact of a version.
    pub(super) async fn write_artifact(&self, id: PluginVersionId, artefact: &Bytes) {
        if let Some(folder) = &self.folder {
            folder.write_artifact(id, artefact).await;
        }
    }

    /// Removes what a process that was killed had begun to write.
    pub(super) async fn remove_parts(&self) {
        if let Some(folder) = &self.folder {
            folder.remove_parts().await;
        }
    }

    /// Removes what belongs to versions that are gone.
    pub(super) async fn remove_remnants(&self, store: &Store) -> Result<(), StoreError> {
        let on_disk: BTreeSet<PluginVersionId> = self.list_artifacts().await.into_iter().collect();
        let mut held = on_disk.clone();
        held.extend(self.ready.lock().unwrap_or_else(PoisonError::into_inner).cells.keys());
        if held.is_empty() {
            return Ok(());
        }
        let held: Vec<PluginVersionId> = held.into_iter().collect();
        let known = store.known_plugin_versions(&held).await?;
        for gone in held.iter().filter(|id| !known.contains(*id)) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).cells.remove(gone);
            if let Some(folder) = self.folder.as_ref().filter(|_| on_disk.contains(gone)) {
                folder.remove_artifact(*gone).await;
            }
        }
        Ok(())
    }
}
