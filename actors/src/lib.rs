//! All of kabar's concurrency: the accounts' single writers, the views that readers see, the
//! directory of tenants, and the senders.
//!
//! Knows the core; knows nothing of HTTP, of SQL text, or of plugins. What a reader gets is
//! rendered by whoever implements [`Render`].

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
    Accounts, AccountsOptions, AccountsParts, EventStream, Place, ResidentReport, StreamFrame, Unavailable,
};
pub use cluster::{Cluster, ClusterOptions, EntryError};
pub use couriers::{
    Couriers, NewPlugin, NewSubscription, PluginPatch, PluginRefusal, ReplayFrom, Replayed, ReplayedLog,
    ReplayedRuns, SubscriptionPatch,
};
pub use directory::{
    AccountConnection, AuthFailure, BudgetClass, Caller, Directory, NewAccount, NewOrganisation,
    OrganisationEntry, OrganisationPatch,
};
pub use idempotency::{Begun, Claim, Idempotency, IdempotencyParts, Permit, RecordedAnswer, RenderAnswer};
pub use question::{Answer, Asked, Compressed, Question, Reach, Render, Rendered};
pub use slot::AccountSlot;
