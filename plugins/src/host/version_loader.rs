//! Loading of artefacts, off the threads that serve requests.
//!
//! Invariants: equal artefacts in use share one version. So many artefacts are verified and linked at once, and no
//! more: each may have a hundred megabytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use kabar_core::fair_bound::{FairBound, PermitHolder};
use kabar_core::ids::OrganisationId;
use wasmtime::component::Linker;

use crate::component::artifact::{self, UnsignedArtifact};
use crate::component::invalid_plugin::NotTrusted;
use crate::component::version::{ComponentLoadError, LoadedVersion};
use crate::ports::ArtifactKeys;
use crate::runtime::guest_state::GuestState;

/// Most artefacts that are signed or loaded at once.
const LOADS_MAX: usize = 2;

/// Signs artefacts under the newest key, and loads those that any of the keys has signed.
pub(super) struct VersionLoader {
    keys: Arc<dyn ArtifactKeys>,
    linker: Linker<GuestState>,
    /// Versions in use, by the MACs of their artefacts.
    loaded: Mutex<HashMap<[u8; 32], Weak<LoadedVersion>>>,
    loads: Arc<FairBound>,
}

impl VersionLoader {
    pub(super) fn new(keys: Arc<dyn ArtifactKeys>, linker: Linker<GuestState>) -> Arc<Self> {
        let loads = FairBound::new("version_loads", LOADS_MAX);
        Arc::new(Self { keys, linker, loaded: Mutex::default(), loads })
    }

    /// Loads an artefact, or returns the version in use that was made of an equal one.
    pub(super) async fn load_artifact(
        self: &Arc<Self>,
        tenant: OrganisationId,
        artefact: Bytes,
    ) -> Result<Arc<LoadedVersion>, ComponentLoadError> {
        let loader = self.clone();
        let linked = self.run_apart(tenant, move || loader.link_version(&artefact)).await;
        linked.unwrap_or_else(|why| Err(ComponentLoadError::NotTrusted(NotTrusted::Foreign(why))))
    }

    /// Signs code as that of the component with this digest.
    pub(super) async fn sign_artifact(
        self: &Arc<Self>,
        tenant: OrganisationId,
        code: UnsignedArtifact,
        sha256: [u8; 32],
    ) -> Result<Bytes, Arc<str>> {
        let no_key = || Arc::<str>::from("there is no key to sign with");
        let key = self.keys.signing_keys().first().copied().ok_or_else(no_key)?;
        self.run_apart(tenant, move || code.sign(&key, &sha256)).await
    }

    /// Signs an artefact anew that an older key has signed.
    pub(super) async fn renew_signature(self: &Arc<Self>, artefact: Bytes) -> Option<Bytes> {
        let loader = self.clone();
        let renewed = self.run_apart(PermitHolder::Server, move || {
            let keys = loader.keys.signing_keys();
            let (newest, older) = keys.split_first()?;
            if artifact::verify_artifact(newest, &artefact).is_ok() {
                return None;
            }
            let opened = older.iter().find_map(|key| artifact::verify_artifact(key, &artefact).ok())?;
            Some(UnsignedArtifact::from_code(opened.code()).sign(newest, &opened.sha256()))
        });
        renewed.await.ok().flatten()
    }

    /// Runs a computation of some milliseconds on a thread for such.
    pub(super) async fn run_apart<T: Send + 'static>(
        &self,
        holder: impl Into<PermitHolder>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Arc<str>> {
        // Held to the end, also when the caller gives up.
        let permit = self.loads.acquire(holder).await.map_err(|error| Arc::from(error.to_string()))?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        working.await.map_err(|error| error.to_string().into())
    }

    /// Returns the bound of what is signed and loaded at once.
    pub(super) const fn loads(&self) -> &Arc<FairBound> {
        &self.loads
    }

    fn link_version(&self, artefact: &[u8]) -> Result<Arc<LoadedVersion>, ComponentLoadError> {
        let keys = self.keys.signing_keys();
        let opened = keys.iter().find_map(|key| artifact::verify_artifact(key, artefact).ok());
        let opened = opened.ok_or(ComponentLoadError::NotTrusted(NotTrusted::Seal))?;
        let loaded = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = loaded().get(&opened.tag()).and_then(Weak::upgrade) {
            return Ok(version);
        }
        let version = Arc::new(LoadedVersion::link_artifact(&opened, &self.linker)?);
        let mut known = loaded();
        known.retain(|_, held| held.strong_count() > 0);
        known.insert(opened.tag(), Arc::downgrade(&version));
        Ok(version)
    }
}
