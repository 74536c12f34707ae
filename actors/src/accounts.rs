//! All accounts of this server: the facade that finds or starts an account's actor, and the tasks that keep
//! the accounts running.

mod activation;
mod effects;
mod erasures;
mod key_rotation;
mod log_follower;
mod looks;
mod ownership;
mod polls;
mod probe;
mod profiles;
mod purge;
mod registry;
mod removals;
mod replication;
mod report;
mod resumption;
mod retirement;
mod start;
mod streams;
mod supervisor;
mod templates;

pub use key_rotation::{FinishedRotation, RotationError};
pub use ownership::AccountPlace;
pub use polls::PollAnswer;
pub use registry::AccountRegistry;
pub use report::LoadedAccountReport;
pub use start::AccountRegistryParts;
pub use streams::{EventStream, StreamFrame};
pub use templates::TemplateError;

#[cfg(test)]
pub(crate) mod tests;
