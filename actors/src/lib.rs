//! All of kabar's concurrency: the accounts' single writers, the views that readers see, the
//! directory of tenants, and the senders.
//!
//! Knows the core; knows nothing of HTTP, of SQL text, or of plugins. What a reader gets is
//! rendered by whoever implements [`RenderRows`].

mod account;
mod accounts;
mod cluster;
mod couriers;
mod directory;
mod effects;
mod housekeeping;
mod idempotency;
mod pages;
mod question;
mod resident;
mod sender;
mod slot;
mod view;

pub use accounts::{
    AccountError, AccountPlace, AccountRegistry, AccountRegistryOptions, AccountRegistryParts, EventStream,
    LoadedAccountReport, StreamFrame,
};
pub use cluster::{Cluster, ClusterOptions, EntryError};
pub use couriers::{
    DeliveryDispatcher, NewPlugin, NewSubscription, PluginPatch, PluginRefusal, ReplayFrom,
    ReplayedDeliveries, ReplayedLog, ReplayedRuns, SubscriptionPatch,
};
pub use directory::{
    AccountConnection, AuthFailure, BudgetClass, Caller, NewAccount, NewOrganisation, OrganisationEntry,
    OrganisationPatch, TenantDirectory,
};
pub use idempotency::{
    IdempotencyKeys, IdempotencyParts, KeyClaim, KeyPermit, KeyedCall, RecordedResponse, RenderResponse,
};
pub use question::{
    CachedResponse, CompressedHead, LogReach, QueryResult, ReadQuery, RenderRows, RenderedPage,
};
pub use slot::AccountEntry;
