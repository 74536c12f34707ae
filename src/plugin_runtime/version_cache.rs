//! Loaded versions, and their compiled artefacts on disk.
//!
//! Invariants: a version is loaded once, however many callers need it; the disk is a cache: an artefact that
//! cannot be read or written there is compiled again. Only the host decides if an artefact is trusted.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kabar_core::config::Settings;
use kabar_core::ids::PluginVersionId;
use kabar_plugins::LoadedVersion;
use tokio::sync::OnceCell;

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
    folder: Option<PathBuf>,
    ready: Mutex<ReadyVersions>,
}

impl VersionCache {
    /// Opens the cache in the folder of the settings, else beside an embedded database, else in memory only.
    pub(super) fn open(settings: &Settings) -> Self {
        let beside = || {
            let file = settings.database_url.file_path()?;
            let mut name = file.as_os_str().to_owned();
            name.push(".hooks");
            Some(PathBuf::from(name))
        };
        Self { folder: settings.hooks.cache_folder.clone().or_else(beside), ready: Mutex::default() }
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

    fn file_path(&self, id: PluginVersionId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{id}.artefact")))
    }

    /// Reads the artefact of a version, if present.
    pub(super) async fn read_artifact(&self, id: PluginVersionId) -> Option<Bytes> {
        tokio::fs::read(self.file_path(id)?).await.ok().map(Bytes::from)
    }

    /// Writes the artefact of a version.
    pub(super) async fn write_artifact(&self, id: PluginVersionId, artefact: &Bytes) {
        let (Some(folder), Some(file)) = (&self.folder, self.file_path(id)) else { return };
        let whole = async {
            tokio::fs::create_dir_all(folder).await?;
            // Renamed into place, so that no reader sees half of it.
            let part = file.with_extension("part");
            tokio::fs::write(&part, artefact).await?;
            tokio::fs::rename(&part, &file).await
        };
        if let Err(error) = whole.await {
            tracing::warn!(version = %id, %error, "a compiled component is not kept on disk");
        }
    }
}
