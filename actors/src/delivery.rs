//! Delivery of events to their subscribers: one worker for each subscriber and account that has something to
//! deliver.

mod attempt;
mod context;
mod dispatcher;
mod entries;
mod lanes;
mod replay;
mod run_recorder;
mod supervisor;
#[cfg(test)]
mod tests;
mod webhook_forms;
mod worker;
mod worker_message;

pub use dispatcher::DeliveryDispatcher;
pub(crate) use dispatcher::DeliveryDispatcherParts;
pub(crate) use entries::WorkerEntries;
pub use replay::{ReplayedDeliveries, ReplayedLog};
