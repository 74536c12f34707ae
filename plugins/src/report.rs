//! What became of a run: its outcome, and everything that it wants done, as data.
//!
//! Invariant: nothing here has happened yet but the calls of [`HttpCall`]. Of a run that did not
//! succeed no effect and no write may be carried out.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::key_values::{KvReads, KvWrite};
use kabar_core::domain::run::{LogLine, RunUsage};
use kabar_core::ids::{ConversationId, UserId};

use crate::ports::DraftedRequest;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// How it ended.
    pub outcome: HookOutcome,
    /// What it saw of its map.
    pub kv_reads: KvReads,
    /// What is to change in its map, at most one change of a key, in the order of first changes.
    pub kv_writes: Vec<KvWrite>,
    /// What is to be done, in order.
    pub effects: Vec<RequestedEffect>,
    /// What it called.
    pub http_calls: Vec<HttpCall>,
    /// What it said, in order.
    pub logs: Vec<LogLine>,
    /// Whether it said more than was kept.
    pub logs_cut: bool,
    /// What it used.
    pub usage: RunUsage,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookOutcome {
    /// The hook has done its work.
    Succeeded,
    /// The hook asks to be called again later, and says why.
    Retry(Arc<str>),
    /// The hook does not want this event, now or ever, and says why.
    Rejected(Arc<str>),
    /// The hook was stopped, or broke.
    Trapped(HookFault, Arc<str>),
}

/// How a hook failed without saying so itself.
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
    /// It asked too much of the host: too large an answer, too many handles.
    Excess,
    /// It ended itself: a panic, an abort, an instruction that cannot be carried out.
    Crash,
    /// It could not be started.
    Start,
}

impl HookFault {
    /// One word, for programs.
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

/// Something to be done on behalf of a hook, once its run is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedEffect {
    /// What `POST …/messages` would do with this body.
    Send {
        /// The body, as the hook wrote it.
        body: Arc<str>,
        /// What it asks for.
        draft: DraftedRequest,
    },
    /// Change a thread.
    UpdateConversation {
        /// Which thread of the event's account.
        conversation_id: ConversationId,
        /// New status.
        status: Option<ConversationStatus>,
        /// New assignee, or `Some(None)` to take the old one off.
        assigned_to: Option<Option<UserId>>,
    },
}

/// A call of a hook to another host: it has happened, unless it was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// Upper-case.
    pub method: Arc<str>,
    /// Where to.
    pub url: Arc<str>,
    /// What was sent; kept only of captured calls.
    pub body: Option<Bytes>,
    /// HTTP's status, or why there is none.
    pub answer: Result<u16, Arc<str>>,
}

impl HookOutcome {
    /// Whether what the run wants done is to be done.
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
