//! Subscribers to events, which are webhooks and plugins, and their changes.
//!
//! Knows nothing of delivery: workers are told of changes, and started, through the ports of `listener`.

mod directory;
mod errors;
mod health;
mod listener;
mod plugin_runs;
mod plugin_state;
mod plugin_versions;
mod plugins;
mod registry;
mod snapshot;
mod subscriber;
mod webhook_changes;
mod webhook_state;
mod webhooks;

pub use directory::SubscriberDirectory;
pub(crate) use directory::TenantLimits;
pub use errors::{PluginError, SubscriptionError};
pub(crate) use listener::{SubscriberListener, WorkStarter};
pub use plugin_runs::{ReplayFrom, ReplayedRuns};
pub use plugins::{NewPlugin, PluginPatch};
pub(crate) use registry::SubscriberRegistry;
pub(crate) use subscriber::SubscriberState;
pub use webhooks::{NewSubscription, SubscriptionPatch};
