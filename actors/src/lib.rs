//! All of kabar's concurrency: the accounts' single writers, the views that readers see, the directory of
//! tenants, and the senders.
//!
//! Uses the core; knows nothing of HTTP, of SQL text, or of plugins. Responses are rendered by the implementor
//! of [`RenderRows`].

mod account;
mod accounts;
mod audit;
mod cluster;
mod context;
mod delivery;
mod error;
mod idempotency;
mod retry;
mod standing;
mod subscribers;
mod tenants;
mod view;

pub use account::AccountEntry;
pub use accounts::{
    AccountPlace, AccountRegistry, AccountRegistryParts, EventStream, FinishedRotation, LoadedAccountReport,
    PollAnswer, RotationError, StreamFrame, TemplateError,
};
pub use audit::audit_entry;
pub use cluster::{Cluster, ClusterOptions, EntryError};
pub use context::AccountRegistryOptions;
pub use delivery::{DeliveryDispatcher, ReplayedDeliveries, ReplayedLog};
pub use error::AccountError;
pub use idempotency::{
    IdempotencyKeys, IdempotencyParts, KeyClaim, KeyPermit, KeyedCall, RecordedResponse, RenderResponse,
};
pub use subscribers::{
    NewPlugin, NewSubscription, PluginError, PluginPatch, ReplayFrom, ReplayedRuns, SubscriberDirectory,
    SubscriptionError, SubscriptionPatch,
};
pub use tenants::{
    AccountConnection, AuthFailure, BudgetClass, Caller, NamedOperator, NewAccount, NewApiKey,
    NewOperatorToken, NewOrganisation, OrganisationEntry, OrganisationPatch, TenantDirectory,
};
pub use view::{
    CachedResponse, CompressedHead, LogReach, PageKind, QueryResult, ReadQuery, RenderRows, RenderedPage,
    ResponseKey,
};
