//! Folder of compiled components.
//!
//! Invariants: only the user of this process can read it, and the files in it; no reader sees half of a file. It is a
//! cache: what cannot be read or written there is compiled again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kabar_core::config::Settings;
use kabar_core::ids::PluginVersionId;
use tokio::io::AsyncWriteExt as _;

const ENDING: &str = "artefact";
/// Ending of a file that is being written.
const PART_ENDING: &str = "part";

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Folder of artefacts, a file for each version. It is made with the first one.
pub(super) struct ArtifactFolder {
    path: PathBuf,
}

impl ArtifactFolder {
    /// Returns the folder of the settings, else the one beside an embedded database; `None` without both.
    pub(super) fn open(settings: &Settings) -> Option<Self> {
        if let Some(path) = settings.hooks.cache_folder.clone() {
            return Some(Self { path });
        }
        let mut name = settings.database_url.file_path()?.as_os_str().to_owned();
        name.push(".hooks");
        let path = PathBuf::from(name);
        // Earlier versions made it readable for everyone.
        if path.is_dir() {
            let closed = std::fs::Permissions::from_mode(FOLDER_MODE);
            if let Err(error) = std::fs::set_permissions(&path, closed) {
                tracing::warn!(folder = %path.display(), %error, "the folder of compiled components stays as it is");
            }
        }
        Some(Self { path })
    }

    fn file_path(&self, id: PluginVersionId) -> PathBuf {
        self.path.join(format!("{id}.{ENDING}"))
    }

    /// Reads the artefact of a version, if present.
    pub(super) async fn read_artifact(&self, id: PluginVersionId) -> Option<Bytes> {
        tokio::fs::read(self.file_path(id)).await.ok().map(Bytes::from)
    }

    /// Writes the artefact of a version.
    pub(super) async fn write_artifact(&self, id: PluginVersionId, artefact: &Bytes) {
        if let Err(error) = self.write_file(&self.file_path(id), artefact).await {
            tracing::warn!(version = %id, %error, "a compiled component is not kept on disk");
        }
    }

    async fn write_file(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        tokio::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.path).await?;
        // Renamed into place, so that no reader sees half of it.
        let part = path.with_extension(PART_ENDING);
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&part).await?;
        file.write_all(bytes).await?;
        file.flush().await?;
        tokio::fs::rename(&part, path).await
    }

    /// Lists the versions that have an artefact here.
    pub(super) async fn list_versions(&self) -> Vec<PluginVersionId> {
        let names = self.list_files().await;
        let version = |path: &PathBuf| {
            let named = path.extension().is_some_and(|ending| ending == ENDING);
            path.file_stem().filter(|_| named).and_then(|stem| PluginVersionId::parse(stem.to_str()?).ok())
        };
        names.iter().filter_map(version).collect()
    }

    /// Removes files that were being written when the process ended.
    pub(super) async fn remove_parts(&self) {
        for path in self.list_files().await {
            if path.extension().is_some_and(|ending| ending == PART_ENDING) {
                remove_file(&path).await;
            }
        }
    }

    /// Removes the artefact of a version.
    pub(super) async fn remove_artifact(&self, id: PluginVersionId) {
        remove_file(&self.file_path(id)).await;
    }

    async fn list_files(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        // Without a component there is no folder.
        let Ok(mut entries) = tokio::fs::read_dir(&self.path).await else { return paths };
        while let Ok(Some(entry)) = entries.next_entry().await {
            paths.push(entry.path());
        }
        paths
    }
}

async fn remove_file(path: &Path) {
    if let Err(error) = tokio::fs::remove_file(path).await {
        tracing::warn!(path = %path.display(), %error, "a compiled component is not removed");
    }
}
