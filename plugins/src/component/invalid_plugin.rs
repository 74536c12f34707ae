//! Reasons that an upload is not a plugin, in words for its author.

use std::sync::Arc;

use kabar_core::domain::plugin::Capability;

/// Defect of an upload. The same upload always has the same one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlugin {
    /// Over the limit, or empty.
    #[error("the component has {bytes} bytes, and may have 1 to {bytes_max}")]
    Size {
        /// Bytes of the upload.
        bytes: usize,
        /// Most bytes of an upload.
        bytes_max: usize,
    },
    /// Something else than WebAssembly.
    #[error("this is not WebAssembly: it does not begin with the four bytes 00 61 73 6d")]
    NotWasm,
    /// A core module that was not wrapped into a component.
    #[error(
        "this is a core WebAssembly module, not a component: wrap it with `kabar plugin build`, \
         or build for the target wasm32-wasip2"
    )]
    CoreModule,
    /// Malformed, or of an unsupported feature.
    #[error("the component is malformed: {0}")]
    Malformed(Arc<str>),
    /// An import that this host does not have.
    #[error("the component imports {import:?}, which this host does not have")]
    UnknownImport {
        /// Its name.
        import: Arc<str>,
    },
    /// An import that was not granted.
    #[error("the component imports {import:?}, but the plugin is not granted the capability {:?}", .capability.as_str())]
    NotGranted {
        /// Its name.
        import: Arc<str>,
        /// Capability that the import needs.
        capability: Capability,
    },
    /// Another version of the world.
    #[error("the component was built for {name:?}; this host has kabar:hooks@{}", crate::WIT_VERSIONS.join(" and @"))]
    WrongVersion {
        /// The import or export of the other version.
        name: Arc<str>,
    },
    /// Another world.
    #[error(
        "the component does not export {:?}, which the world kabar:hooks/status-hook asks for; it exports {}",
        crate::HANDLER,
        list_names(exports)
    )]
    MissingExport {
        /// Its exports.
        exports: Vec<Arc<str>>,
    },
    /// The right names with wrong types.
    #[error("the component does not fit the world kabar:hooks/status-hook: {0}")]
    WrongWorld(Arc<str>),
    /// More parts, or larger ones, than this host compiles or holds.
    #[error("the component is too complex: {0}")]
    TooComplex(Arc<str>),
    /// The compilation took too long and was given up.
    #[error("compiling the component took more than {seconds} s and was given up")]
    TooSlow {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The compiler refused it.
    #[error("the component does not compile: {0}")]
    DoesNotCompile(Arc<str>),
    /// Its compiled form is too large.
    #[error(
        "compiled, the component has more than the {bytes_max} bytes that it may have: 8 times its own size, \
         256 KiB at least, and no more than its organization's tier allows"
    )]
    CompiledSize {
        /// Most bytes of this component's compiled form.
        bytes_max: usize,
    },
    /// It declares larger memories or tables, or more of them, than an instance may have.
    #[error("the component needs more than an instance of a hook may have: {0}")]
    DoesNotFit(Arc<str>),
    /// It failed on a sample event.
    #[error("tried out on a sample event, the hook failed: {0}")]
    Trapped(Arc<str>),
}

/// Reason that an upload was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is not a plugin.
    #[error(transparent)]
    Invalid(#[from] InvalidPlugin),
    /// An error of the server; trying again may help.
    #[error("the compiler could not be run: {0}")]
    Failed(Arc<str>),
}

/// An artefact that this server did not make, or made with another version of itself: compile the component
/// anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTrusted {
    /// The signature is not this server's, or the artefact was changed.
    #[error("the compiled component is not sealed by this server")]
    Seal,
    /// Made by another version of kabar, or for another machine.
    #[error("the compiled component is of another build of kabar, or of another machine: {0}")]
    Foreign(Arc<str>),
}

fn list_names(names: &[Arc<str>]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
