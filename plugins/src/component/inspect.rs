//! Inspects an upload before any costly work: its kind, its imports and exports, and the size of its code.
//!
//! Invariant: an upload that passes names only imports that this host has and the plugin is granted. The linker
//! checks their types.

use std::sync::Arc;

use kabar_core::domain::plugin::{Capabilities, Capability};
use wasmparser::{Encoding, Parser, Payload};

use crate::component::invalid_plugin::InvalidPlugin;
use crate::runtime::engine::INSTANCES_MAX;
use crate::{HANDLER, HANDLER_V1_1, WIT_VERSIONS};

/// Packages of WASI that this host has, all of version 0.2.
const WASI: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

const NAMES_MAX: usize = 1000;
const MODULES_MAX: u32 = INSTANCES_MAX;
/// Most functions of all modules. Python guests have 20 000.
const FUNCTIONS_MAX: u32 = 100_000;
/// Most bytes of one function's body; the time to compile one grows faster than its length. The interpreter
/// loops of the usual languages have up to 200 KB.
const BODY_BYTES_MAX: usize = 512 << 10;

/// Imports and exports of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ComponentInterface {
    pub(crate) imports: Vec<Arc<str>>,
    pub(crate) exports: Vec<Arc<str>>,
}

#[derive(Default)]
struct ComponentSizes {
    modules: u32,
    functions: u32,
}

impl ComponentSizes {
    fn check_limits(&self) -> Result<(), InvalidPlugin> {
        let complaint = if self.modules > MODULES_MAX {
            format!("it has more than {MODULES_MAX} modules")
        } else if self.functions > FUNCTIONS_MAX {
            format!("it has more than {FUNCTIONS_MAX} functions")
        } else {
            return Ok(());
        };
        Err(InvalidPlugin::TooComplex(complaint.into()))
    }

    fn count_function(&mut self, bytes: usize) -> Result<(), InvalidPlugin> {
        self.functions += 1;
        if bytes > BODY_BYTES_MAX {
            let complaint = format!("a function has {bytes} bytes of code, and may have {BODY_BYTES_MAX}");
            return Err(InvalidPlugin::TooComplex(complaint.into()));
        }
        self.check_limits()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn malformed(error: wasmparser::BinaryReaderError) -> InvalidPlugin {
    InvalidPlugin::Malformed(error.to_string().into())
}

/// Reads an upload's imports and exports, and checks its size.
///
/// # Errors
/// The first defect that was found.
#[expect(clippy::wildcard_enum_match_arm, reason = "wasmparser's enum is open, and most of it is for others")]
pub(crate) fn read_interface(wasm: &[u8]) -> Result<ComponentInterface, InvalidPlugin> {
    if !wasm.starts_with(b"\0asm") {
        return Err(InvalidPlugin::NotWasm);
    }
    let mut found = ComponentInterface::default();
    let mut sizes = ComponentSizes::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(InvalidPlugin::CoreModule);
                }
                depth += 1;
                sizes.modules += u32::from(encoding == Encoding::Module);
                sizes.check_limits()?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    found.imports.push(import.map_err(malformed)?.name.name.into());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    found.exports.push(export.map_err(malformed)?.name.name.into());
                }
            }
            Payload::CodeSectionEntry(body) => sizes.count_function(body.range().len())?,
            Payload::UnknownSection { id, .. } => {
                return Err(InvalidPlugin::Malformed(format!("there is no section {id:#x}").into()));
            }
            _ => {}
        }
        if found.imports.len() + found.exports.len() > NAMES_MAX {
            let complaint = format!("it has more than {NAMES_MAX} imports and exports");
            return Err(InvalidPlugin::TooComplex(complaint.into()));
        }
    }
    Ok(found)
}

/// Returns the bytes of all data segments. A malformed rest counts as none.
pub(crate) fn data_bytes(wasm: &[u8]) -> usize {
    let payloads = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    let section_bytes = |payload: Payload<'_>| {
        if let Payload::DataSection(section) = payload { section.range().len() } else { 0 }
    };
    payloads.map(section_bytes).fold(0, usize::saturating_add)
}

impl ComponentInterface {
    /// Checks the imports and exports against the world and the granted capabilities.
    ///
    /// # Errors
    /// The first import or export that does not.
    pub(crate) fn check_world(&self, granted: Capabilities) -> Result<(), InvalidPlugin> {
        self.check_exports()?;
        self.imports.iter().try_for_each(|import| check_import(import, granted))
    }

    fn check_exports(&self) -> Result<(), InvalidPlugin> {
        if self.exports.iter().any(|name| [HANDLER, HANDLER_V1_1].contains(&name.as_ref())) {
            return Ok(());
        }
        let other = self.exports.iter().find(|name| name.starts_with("kabar:hooks/handler"));
        Err(match other {
            Some(name) => InvalidPlugin::WrongVersion { name: name.clone() },
            None => InvalidPlugin::MissingExport { exports: self.exports.clone() },
        })
    }
}

fn check_import(import: &Arc<str>, granted: Capabilities) -> Result<(), InvalidPlugin> {
    let unknown = || InvalidPlugin::UnknownImport { import: import.clone() };
    let (path, version) = import.split_once('@').ok_or_else(unknown)?;
    if let Some(interface) = path.strip_prefix("kabar:hooks/") {
        let capability = Capability::parse(interface);
        if capability.is_none() && interface != "types" {
            return Err(unknown());
        }
        if !WIT_VERSIONS.contains(&version) {
            return Err(InvalidPlugin::WrongVersion { name: import.clone() });
        }
        return match capability {
            Some(capability) if !granted.contains_capability(capability) => {
                Err(InvalidPlugin::NotGranted { import: import.clone(), capability })
            }
            Some(_) | None => Ok(()),
        };
    }
    let package = path.strip_prefix("wasi:").and_then(|rest| rest.split_once('/'));
    let known = package.is_some_and(|(package, _)| WASI.contains(&package)) && version.starts_with("0.2.");
    if known { Ok(()) } else { Err(unknown()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(wat: &str) -> Result<ComponentInterface, InvalidPlugin> {
        read_interface(&wat::parse_str(wat).unwrap())
    }

    #[test]
    fn only_components_pass() {
        assert_eq!(read_interface(b"MZ\x90\0").unwrap_err(), InvalidPlugin::NotWasm);
        assert_eq!(read_interface(&[7; 100]).unwrap_err(), InvalidPlugin::NotWasm);
        assert_eq!(look("(module)").unwrap_err(), InvalidPlugin::CoreModule);
        assert!(matches!(read_interface(b"\0asm\x0d\0\x01\0\x07\xff"), Err(InvalidPlugin::Malformed(_))));
        assert_eq!(look("(component)").unwrap(), ComponentInterface::default());
    }

    #[test]
    fn only_the_outermost_component_speaks() {
        let found = look(
            r#"(component
                (import "kabar:hooks/log@1.0.0" (instance))
                (component $inner (import "wasi:http/types@0.2.0" (instance)))
                (core module $m (import "env" "x" (func)))
                (instance $i)
                (export "kabar:hooks/handler@1.0.0" (instance $i)))"#,
        );
        let found = found.unwrap();
        assert_eq!(found.imports, [Arc::from("kabar:hooks/log@1.0.0")]);
        assert_eq!(found.check_world(Capabilities::all_granted()), Ok(()));
    }

    #[test]
    fn each_import_and_export_is_answered_for() {
        let one = |import: &str| {
            check_import(&import.into(), Capabilities::all_granted().without_capability(Capability::Http))
        };
        for fine in [
            "kabar:hooks/types@1.0.0",
            "kabar:hooks/types@1.1.0",
            "kabar:hooks/kv@1.1.0",
            "kabar:hooks/kv@1.0.0",
            "wasi:io/streams@0.2.3",
        ] {
            assert_eq!(one(fine), Ok(()), "{fine}");
        }
        let text = |import: &str| one(import).unwrap_err().to_string();
        assert!(text("kabar:hooks/http@1.0.0").contains("not granted the capability \"http\""));
        assert!(text("kabar:hooks/kv@2.0.0").contains("kabar:hooks@1.0.0"));
        for unknown in [
            "kabar:hooks/files@1.0.0",
            "wasi:http/types@0.2.0",
            "wasi:io/streams@0.3.0",
            "env",
            "x:y/z@1.0.0",
        ] {
            assert!(matches!(one(unknown), Err(InvalidPlugin::UnknownImport { .. })), "{unknown}");
        }
        let exports = |names: &[&str]| {
            let exports = names.iter().map(|name| Arc::from(*name)).collect();
            ComponentInterface { exports, ..ComponentInterface::default() }
                .check_world(Capabilities::all_granted())
                .map_err(|e| e.to_string())
        };
        assert!(exports(&[]).unwrap_err().ends_with("it exports nothing"));
        assert!(exports(&["run", "wasi:cli/run@0.2.0"]).unwrap_err().contains("run, wasi:cli/run@0.2.0"));
        assert!(exports(&["kabar:hooks/handler@0.9.0"]).unwrap_err().contains("0.9.0"));
        assert_eq!(exports(&["x", HANDLER]), Ok(()));
        assert_eq!(exports(&["x", HANDLER_V1_1]), Ok(()));
    }

    #[test]
    fn what_would_compile_for_long_is_refused() {
        let long = format!("(component (core module (func {})))", "i32.const 1 drop ".repeat(200_000));
        let text = look(&long).unwrap_err().to_string();
        assert!(text.contains("a function has") && text.contains("bytes of code"), "{text}");
        let many = format!("(component {})", "(core module)".repeat(65));
        assert!(look(&many).unwrap_err().to_string().contains("more than 64 modules"));
    }
}
