//! The room of the WebAssembly hook host; nothing is in it yet.
//!
//! What will live here is a function: `run(version, event, kv snapshot, config) → outcome + effects +
//! logs + usage`, over wasmtime's component model. It may use the core and wasmtime, never actors,
//! the HTTP surface, ractor or SQL; the walls are held already (`deny.toml`, `tests/it/house.rs`).
