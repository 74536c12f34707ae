//! Makes components of core modules, the output of most languages' compilers.
//!
//! A module names the interfaces that it was built for, if its bindings put that into a custom section
//! (`wit-bindgen` for Rust does). A module without that section is taken for a hook.

use std::sync::Arc;

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, SourceMap};

use crate::HANDLER_V1_1;

/// The files of `kabar:hooks`, by name: the source of generated bindings.
pub const WIT: [(&str, &str); 3] = [
    ("capabilities.wit", include_str!("../../wit/capabilities.wit")),
    ("types.wit", include_str!("../../wit/types.wit")),
    ("world.wit", include_str!("../../wit/world.wit")),
];

/// The same of the newer package.
pub const WIT_V1_1: [(&str, &str); 3] = [
    ("capabilities.wit", include_str!("../../wit-1.1/capabilities.wit")),
    ("types.wit", include_str!("../../wit-1.1/types.wit")),
    ("world.wit", include_str!("../../wit-1.1/world.wit")),
];

/// Reason that a module could not be wrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this module cannot be made a component of the world kabar:hooks/status-hook: {0}")]
pub struct WrapError(Arc<str>);

fn not_wrapped(error: impl std::fmt::Display) -> WrapError {
    WrapError(format!("{error:#}").into())
}

/// The section in which bindings name the world of a module; there may be text behind it.
const SECTION: &[u8] = b"component-type";

fn contains_text(module: &[u8], text: &[u8]) -> bool {
    module.windows(text.len()).any(|bytes| bytes == text)
}

/// Makes a component of a core module; a component is returned unchanged.
///
/// # Errors
/// When it is not WebAssembly, or does not export what a hook must, in wit-component's words.
pub fn wrap_module(wasm: &[u8]) -> Result<Vec<u8>, WrapError> {
    if wasmparser::Parser::is_component(wasm) {
        return Ok(wasm.to_vec());
    }
    if !wasmparser::Parser::is_core_wasm(wasm) {
        return Err(not_wrapped("it is not WebAssembly"));
    }
    let mut module = wasm.to_vec();
    if !contains_text(&module, SECTION) {
        // Its export names the package that it was written for.
        let newer = contains_text(&module, HANDLER_V1_1.as_bytes());
        let mut sources = SourceMap::new();
        for (name, text) in if newer { WIT_V1_1 } else { WIT } {
            sources.push_str(name, text);
        }
        let package = sources.parse().map_err(|(_, error)| not_wrapped(error.to_string()))?;
        let mut resolve = Resolve::default();
        let package = resolve.push_group(package).map_err(|error| not_wrapped(error.to_string()))?;
        let world = resolve.select_world(&[package], Some("status-hook")).map_err(not_wrapped)?;
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(not_wrapped)?;
    }
    let encoder = ComponentEncoder::default().module(&module).map_err(not_wrapped)?;
    encoder.validate(true).encode().map_err(not_wrapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_of_both_packages_are_the_same() {
        let [(_, older), ..] = WIT;
        let [(_, newer), ..] = WIT_V1_1;
        assert_eq!(older.replace("@1.0.0", "@1.1.0"), newer);
    }
}
