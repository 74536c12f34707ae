//! Components: a compiled one, stored as an artefact, and one that is ready to run.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::component::artifact::VerifiedArtifact;
use crate::component::invalid_plugin::{InvalidPlugin, NotTrusted};
use crate::runtime::engine;
use crate::runtime::guest_state::GuestState;
use crate::runtime::hook_call::LinkedHook;
use crate::runtime::outcome::error_text;

/// A component that passed all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledComponent {
    /// Input of [`crate::PluginHost::load`]: machine code, signed by this server. Valid for this build of kabar
    /// on this kind of machine; keep the component to compile it anew.
    pub artefact: Bytes,
    /// SHA-256 of the component as it was uploaded.
    pub sha256: [u8; 32],
    /// Bytes of the component as it was uploaded.
    pub size: usize,
    /// Imports, in the component's order.
    pub imports: Vec<Arc<str>>,
    /// Exports, in the component's order.
    pub exports: Vec<Arc<str>>,
    /// Time of the compilation, in milliseconds.
    pub compile_ms: u64,
}

/// A component that is ready to run. Holding one keeps its code in memory, and nothing else.
pub struct LoadedVersion {
    sha256: [u8; 32],
    engine: Engine,
    hook: LinkedHook,
}

/// Reason that compiled code could not be loaded.
pub(crate) enum ComponentLoadError {
    /// Its signature or its build does not match.
    NotTrusted(NotTrusted),
    /// Its imports or exports have other types than the world's, or an instance needs more than the pool has.
    Misfit(InvalidPlugin),
}

impl LoadedVersion {
    /// Returns the SHA-256 of the component that it was compiled from.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) const fn hook(&self) -> &LinkedHook {
        &self.hook
    }

    /// Links verified code, so that it is ready to run.
    pub(crate) fn link_artifact(
        opened: &VerifiedArtifact<'_>,
        linker: &Linker<GuestState>,
    ) -> Result<Self, ComponentLoadError> {
        let engine = linker.engine();
        let foreign =
            |error: wasmtime::Error| ComponentLoadError::NotTrusted(NotTrusted::Foreign(error_text(&error)));
        let component = match load_trusted(engine, opened) {
            Ok(component) => component,
            // Code of this build that another engine takes asks for more than the pool has.
            Err(error) => {
                let elsewhere = engine::unbounded_engine().and_then(|engine| load_trusted(&engine, opened));
                let unfit = || InvalidPlugin::DoesNotFit(error_text(&error));
                return Err(elsewhere.map_or_else(foreign, |_loads| ComponentLoadError::Misfit(unfit())));
            }
        };
        let misfit = |error: wasmtime::Error| {
            ComponentLoadError::Misfit(InvalidPlugin::WrongWorld(error_text(&error)))
        };
        let pre = linker.instantiate_pre(&component).map_err(misfit)?;
        let hook = LinkedHook::find_handler(&component, pre).map_err(misfit)?;
        Ok(Self { sha256: opened.sha256(), engine: engine.clone(), hook })
    }
}

impl std::fmt::Debug for LoadedVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedVersion").finish_non_exhaustive()
    }
}

#[expect(
    unsafe_code,
    reason = "loading machine code trusts it; `Opened` exists only of what this server compiled and sealed, \
              and wasmtime itself compares version, target and settings"
)]
fn load_trusted(engine: &Engine, opened: &VerifiedArtifact<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what `Engine::precompile_component` answered on a server with this key:
    // `artifact::verify_artifact` is the only maker of a `VerifiedArtifact`, and checks the MAC over all of
    // them.
    unsafe { Component::deserialize(engine, opened.code()) }
}

impl From<ComponentLoadError> for NotTrusted {
    /// A misfit was linked once: by another build of kabar.
    fn from(not_loaded: ComponentLoadError) -> Self {
        match not_loaded {
            ComponentLoadError::NotTrusted(error) => error,
            ComponentLoadError::Misfit(error) => Self::Foreign(error.to_string().into()),
        }
    }
}
