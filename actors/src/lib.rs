//! All of kabar's concurrency: the accounts' single writers, the views that readers see, the directory of
//! tenants, and the senders.
//!
//! Uses the core; knows nothing of HTTP, of SQL text, or of plugins. Responses are rendered by the implementor
//! of [`RenderRows`].

mod account;
mod account_entry;
mod accounts;
mod cluster;
mod delivery;
mod effects;
mod idempotency;
mod loaded_account;
mod purge;
mod read_query;
mod response_cache;
mod sender;
mod tenants;
mod view;

pub use account_entry::AccountEntry;
pub use accounts::{
    AccountError, AccountPlace, AccountRegistry, AccountRegistryOptions, AccountRegistryParts, EventStream,
    LoadedAccountReport, StreamFrame,
};
pub use cluster::{Cluster, ClusterOptions, EntryError};
pub use delivery::{
    DeliveryDispatcher, NewPlugin, NewSubscription, PluginPatch, PluginRefusal, ReplayFrom,
    ReplayedDeliveries, ReplayedLog, ReplayedRuns, SubscriptionPatch,
};
pub use idempotency::{
    IdempotencyKeys, IdempotencyParts, KeyClaim, KeyPermit, KeyedCall, RecordedResponse, RenderResponse,
};
pub use read_query::{
    CachedResponse, CompressedHead, LogReach, PageKind, QueryResult, ReadQuery, RenderRows, RenderedPage,
    ResponseKey,
};
pub use tenants::{
    AccountConnection, AuthFailure, BudgetClass, Caller, NewAccount, NewOrganisation, OrganisationEntry,
    OrganisationPatch, TenantDirectory,
};
