//! The parts of the binary that its tests look into; no rules of the business live here.

pub mod bench;
pub mod simulate;
