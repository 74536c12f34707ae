//! Report of a run: its outcome, and its requested effects, as data.
//!
//! Invariant: nothing here has happened yet but the calls of [`HttpCall`]. Of a run that did not succeed no
//! effect and no write may be carried out.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::key_values::{KvReads, KvWrite};
use kabar_core::domain::run::{LogLine, RunUsage};
use kabar_core::ids::{ConversationId, UserId};

use crate::ports::DraftedRequest;

/// Report of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// Outcome of the run.
    pub outcome: HookOutcome,
    /// Keys and prefixes that it has read of its map.
    pub kv_reads: KvReads,
    /// Changes of its map, at most one per key, in the order of first changes.
    pub kv_writes: Vec<KvWrite>,
    /// Requested effects, in order.
    pub effects: Vec<RequestedEffect>,
    /// Calls to other hosts.
    pub http_calls: Vec<HttpCall>,
    /// Log lines, in order.
    pub logs: Vec<LogLine>,
    /// Set when it logged more than was kept.
    pub logs_cut: bool,
    /// Resources that it used.
    pub usage: RunUsage,
}

/// Outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookOutcome {
    /// The hook has done its work.
    Succeeded,
    /// The hook asks to be called again later, for this reason.
    Retry(Arc<str>),
    /// The hook does not want this event, now or ever, for this reason.
    Rejected(Arc<str>),
    /// The hook was stopped, or broke.
    Trapped(HookFault, Arc<str>),
}

/// Failure of a hook that it did not return itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookFault {
    /// It used up its computing time.
    Cpu,
    /// It took too long, waits included.
    Wall,
    /// It ran out of memory.
    Memory,
    /// It called itself too deeply.
    Stack,
    /// It exceeded a limit of the host: too large an answer, too many handles.
    Excess,
    /// It ended itself: a panic, an abort, an instruction that cannot be carried out.
    Crash,
    /// It could not be started.
    Start,
}

impl HookFault {
    /// Returns the fault as one word, for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_limit",
            Self::Wall => "time_limit",
            Self::Memory => "memory_limit",
            Self::Stack => "stack_limit",
            Self::Excess => "host_limit",
            Self::Crash => "crash",
            Self::Start => "start",
        }
    }
}

/// An effect to be carried out on behalf of a hook, once its run is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedEffect {
    /// The effect of `POST …/messages` with this body.
    Send {
        /// The body, as the hook wrote it.
        body: Arc<str>,
        /// The request in it.
        draft: DraftedRequest,
    },
    /// Change a conversation.
    UpdateConversation {
        /// Conversation of the event's account.
        conversation_id: ConversationId,
        /// New status.
        status: Option<ConversationStatus>,
        /// New assignee, or `Some(None)` to remove the old one.
        assigned_to: Option<Option<UserId>>,
    },
}

/// A call of a hook to another host: it has happened, unless it was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// Upper-case.
    pub method: Arc<str>,
    /// Target URL.
    pub url: Arc<str>,
    /// Body of the request; kept only of captured calls.
    pub body: Option<Bytes>,
    /// HTTP status, or the reason that there is none.
    pub answer: Result<u16, Arc<str>>,
}

impl HookOutcome {
    /// Returns `true` when the run's writes and effects are to be carried out.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        matches!(self, Self::Succeeded)
    }
}

impl fmt::Display for HookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Retry(reason) => write!(f, "asks to be called again: {reason}"),
            Self::Rejected(reason) => write!(f, "rejected the event: {reason}"),
            Self::Trapped(_, text) => f.write_str(text),
        }
    }
}
