//! What the host needs from rooms that it must not know.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use kabar_core::domain::message::OutgoingMessage;
use kabar_core::ids::OrganisationId;

/// A call of a hook to a host that it may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// For whom.
    pub organisation_id: OrganisationId,
    /// Upper-case.
    pub method: Arc<str>,
    /// Absolute; its host is one of the plugin's allowed ones. Everything else about it is for who
    /// fetches to check: scheme, address, redirects.
    pub url: Arc<str>,
    /// Names in lower case. `idempotency-key` is among them.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// May be empty.
    pub body: Bytes,
    /// All in all.
    pub timeout: Duration,
    /// An answer with a larger body is [`FetchError::TooLarge`].
    pub answer_bytes_max: usize,
}

/// What the other side answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchAnswer {
    /// HTTP's.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// May be empty.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL, its scheme or the address behind it must not be called; says why.
    #[error("refused: {0}")]
    Refused(Arc<str>),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer has more bytes than asked for.
    #[error("the answer is too large")]
    TooLarge,
    /// No connection, or it broke; says how.
    #[error("{0}")]
    Failed(Arc<str>),
}

/// Calls other hosts: guarded, without redirects, in bounded time.
pub trait HttpFetcher: Send + Sync {
    /// Makes one call. Runs on the host's own threads.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchAnswer, FetchError>>;
}

/// What the body of a `POST …/messages` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftedRequest {
    /// Send a message.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its thread, as read.
    MarkRead {
        /// WhatsApp's id of the message.
        wamid: Arc<str>,
    },
}

/// Why a body is refused: the API's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRefused {
    /// The contract's code.
    pub code: Arc<str>,
    /// For a human.
    pub message: Arc<str>,
    /// The field at fault, as a dotted path.
    pub param: Option<Arc<str>>,
}

/// Reads bodies of `POST …/messages` by the rules of the API.
pub trait DraftReader: Send + Sync {
    /// Reads one.
    ///
    /// # Errors
    /// What the API would answer.
    fn read(&self, body: &str) -> Result<DraftedRequest, DraftRefused>;
}

/// Calls nobody: every fetch is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNetwork;

impl HttpFetcher for NoNetwork {
    fn fetch(&self, _request: FetchRequest) -> BoxFuture<'_, Result<FetchAnswer, FetchError>> {
        let refused = FetchError::Refused("there is no network here".into());
        Box::pin(std::future::ready(Err(refused)))
    }
}
