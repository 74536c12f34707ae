//! The command line and what is shipped: the binary, packaging, backups and worked examples.

pub(crate) mod backup;
pub(crate) mod binary;
mod descriptors;
pub(crate) mod guests;
mod images;
pub(crate) mod packaging;
mod reload;
mod replay;
mod spans;
