//! One account: its directory entry, its view in memory, its actor, and its sender.
//!
//! Knows no other account, no tenant and no subscriber. Commits are told to a [`CommitListener`], and commands to
//! an account that may not be loaded go through an [`AccountHandle`].

mod actor;
mod command_info;
mod commit_listener;
mod entry;
mod handle;
mod loaded_account;
mod look_queue;
mod message;
mod recent_rows;
mod sender;
mod state;

pub(crate) use actor::AccountActor;
pub(crate) use commit_listener::CommitListener;
pub use entry::AccountEntry;
pub(crate) use entry::REMEMBERED;
pub(crate) use handle::{AccountHandle, CommandExecutor, ExecutedCommand};
pub(crate) use loaded_account::LoadedAccount;
pub(crate) use look_queue::{LookQueue, LookRequests};
pub(crate) use message::{AccountMessage, CommandOutcome, CommandRecords, QueuedCommand};
pub(crate) use sender::GraphCalls;
#[cfg(test)]
pub(crate) use sender::SenderParts;
pub(crate) use state::{AccountStateParts, note_lost_commits, view_of};
