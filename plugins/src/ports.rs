//! Ports of the host: HTTP calls and the API's rules, which other crates implement.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use kabar_core::domain::account::Account;
use kabar_core::domain::message::OutgoingMessage;
use kabar_core::domain::read_receipt::ReadReceipt;
use kabar_core::encryption::KeyRing;
use kabar_core::ids::OrganisationId;

/// Keys that sign compiled components. They are asked for at each use, because a rotation changes them.
pub trait ArtifactKeys: std::fmt::Debug + Send + Sync {
    /// Returns the keys, the one that signs first; the signatures of the others are good as well.
    fn signing_keys(&self) -> Vec<[u8; 32]>;
}

impl ArtifactKeys for [u8; 32] {
    fn signing_keys(&self) -> Vec<[u8; 32]> {
        vec![*self]
    }
}

impl ArtifactKeys for Vec<[u8; 32]> {
    fn signing_keys(&self) -> Vec<[u8; 32]> {
        self.clone()
    }
}

impl ArtifactKeys for KeyRing {
    fn signing_keys(&self) -> Vec<[u8; 32]> {
        self.artefact_keys()
    }
}

/// A call of a hook to a host that it may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// Tenant of the plugin.
    pub organisation_id: OrganisationId,
    /// Upper-case.
    pub method: Arc<str>,
    /// Absolute; its host is one of the plugin's allowed ones. The fetcher checks the rest: scheme, address,
    /// redirects.
    pub url: Arc<str>,
    /// Names in lower case. `idempotency-key` is among them.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// May be empty.
    pub body: Bytes,
    /// Time of the whole call.
    pub timeout: Duration,
    /// An answer with a larger body is [`FetchError::TooLarge`].
    pub answer_bytes_max: usize,
}

/// Answer of the other host, of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchAnswer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// May be empty.
    pub body: Bytes,
}

/// Reason that there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL, its scheme or the address behind it must not be called, for this reason.
    #[error("refused: {0}")]
    Refused(Arc<str>),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer has more bytes than asked for.
    #[error("the answer is too large")]
    TooLarge,
    /// No connection, or a broken one, with the reason.
    #[error("{0}")]
    Failed(Arc<str>),
}

/// Calls other hosts: guarded, without redirects, in bounded time.
pub trait HttpFetcher: Send + Sync {
    /// Makes one call. Runs on the host's own threads.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchAnswer, FetchError>>;
}

/// Request in the body of a `POST …/messages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftedRequest {
    /// Send a message.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its conversation, as read.
    MarkRead(ReadReceipt),
}

/// Reason that a body is refused: the API's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRefused {
    /// The contract's code.
    pub code: Arc<str>,
    /// Text for a person.
    pub message: Arc<str>,
    /// The field at fault, as a dotted path.
    pub param: Option<Arc<str>>,
}

/// Reads bodies of `POST …/messages` by the rules of the API.
pub trait DraftReader: Send + Sync {
    /// Reads one body.
    ///
    /// # Errors
    /// The error that the API would answer.
    fn read(&self, body: &str) -> Result<DraftedRequest, DraftRefused>;
}

/// Reads messages as WhatsApp sent them.
pub trait RawMessages: Send + Sync {
    /// Reads the item of the message of this id, JSON; `None` when it is not kept, or cannot be read now.
    fn read<'a>(&'a self, account: &'a Account, wamid: &'a str) -> BoxFuture<'a, Option<String>>;
}

/// Fetcher without a network: it refuses every call.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNetwork;

impl HttpFetcher for NoNetwork {
    fn fetch(&self, _request: FetchRequest) -> BoxFuture<'_, Result<FetchAnswer, FetchError>> {
        let refused = FetchError::Refused("there is no network here".into());
        Box::pin(std::future::ready(Err(refused)))
    }
}
