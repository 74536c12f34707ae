//! Uploads of components: bytes, or a core module in WebAssembly's text form.

use kabar_core::ids::OrganisationId;
use kabar_plugins::CompileError;
use kabar_plugins::component::wrap::wrap_module;

use super::FuzzTarget;
use super::plugin_host::{plugin_host, upload};
use crate::runtime::wait_for;

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "component",
    run,
    words: &[
        "\0asm",
        "(module",
        "(func",
        "(param i32)",
        "(result i32)",
        "(memory 1)",
        "(memory 65536)",
        "(table 1 funcref)",
        "(table 100000000 funcref)",
        "(data (i32.const 0) \"a\")",
        "(data (i32.const -1) \"a\")",
        "(elem (i32.const 0))",
        "(start 0)",
        "(export \"memory\" (memory 0))",
        "(import \"kabar:hooks/log@1.0.0\" \"write\" (func (param i32 i32 i32)))",
        "(import \"a\" \"b\" (func))",
        "(i32.const 0)",
        "(i32.const 2147483647)",
        "(i64.const -1)",
        "(unreachable)",
        "(call 0)",
        "(loop (br 0))",
        "(global i32 (i32.const 0))",
        "(memory.grow (i32.const 1000))",
        "kabar:hooks/handler@1.0.0#handle",
        "kabar:hooks/handler@1.1.0#handle",
        "@1.0.0",
        "@1.1.0",
        "@2.0.0",
        "cabi_realloc",
        "(local i32)",
        "i64",
        "f64",
        "v128",
        ")",
        "(",
    ],
    input_bytes_max: 64 << 10,
    mutations: 500,
};

/// Any upload is taken, or refused as the fault of its author; what is taken can be loaded.
fn run(input: &[u8]) {
    let Some(wasm) = read_input(input) else { return };
    let host = plugin_host();
    match wait_for(host.compile(upload(wasm))) {
        Ok(compiled) => {
            let loaded = wait_for(host.load(OrganisationId::from_bits(1), &compiled.artefact));
            assert!(loaded.is_ok(), "an artefact of this server's is not loaded");
        }
        Err(CompileError::Invalid(why)) => assert!(!why.to_string().is_empty()),
        Err(CompileError::Failed(why)) => panic!("the upload fails the server: {why}"),
    }
}

/// Returns what is uploaded. The command line makes components of core modules; other bytes go as they are.
fn read_input(input: &[u8]) -> Option<Vec<u8>> {
    let wasm = match std::str::from_utf8(input) {
        Ok(text) if text.trim_start().starts_with('(') => wat::parse_str(text).ok()?,
        _ => input.to_owned(),
    };
    Some(wrap_module(&wasm).unwrap_or(wasm))
}
