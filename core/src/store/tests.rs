//! Conformance of a store.
