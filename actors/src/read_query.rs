//! What readers ask of an account, and what they get.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::event::Event;
use kabar_core::domain::log::{EventPage, EventQuery};
use kabar_core::domain::message::Message;
use kabar_core::domain::page::{ContactQuery, ConversationQuery, MessageQuery, RowPage};
use kabar_core::domain::status::MessageStatus;
use kabar_core::ids::{AccountId, ContactId, ConversationId, MessageId};
use kabar_core::redis::RedisPage;

/// One question. Equal questions of one account share one rendered page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReadQuery {
    /// A list of threads.
    Conversations(ConversationQuery),
    /// One thread.
    Conversation(ConversationId),
    /// A list of messages.
    Messages(MessageQuery),
    /// One message.
    Message(MessageId),
    /// A list of contacts.
    Contacts(ContactQuery),
    /// One contact.
    Contact(ContactId),
    /// A part of the log, as a list.
    Events(EventQuery),
    /// A part of the log, as a stream sends it.
    EventFrames(EventQuery),
}

impl ReadQuery {
    /// What tells this question from every other one of its account.
    pub(crate) fn key_text(&self, account: AccountId) -> String {
        match self {
            Self::Conversations(query) => {
                format!("{}#{}#{:?}", query.scope(account), query.limit.rows(), query.after)
            }
            Self::Messages(query) => {
                format!("{}#{}#{:?}", query.scope(account), query.limit.rows(), query.after)
            }
            Self::Contacts(query) => {
                format!("{}#{}#{:?}", query.scope(account), query.limit.rows(), query.after)
            }
            Self::Conversation(id) => format!("conversation/{id}"),
            Self::Message(id) => format!("message/{id}"),
            Self::Contact(id) => format!("contact/{id}"),
            Self::Events(query) => {
                format!("{}#{}#{}", query.scope(account), query.limit.rows(), query.after)
            }
            Self::EventFrames(query) => {
                format!("{}#{}#{}#frames", query.scope(account), query.limit.rows(), query.after)
            }
        }
    }

    /// Whether its pages are worth keeping where other nodes find them. A part of the log is read by
    /// whoever stands at its place, on the node that serves the account.
    pub(crate) const fn is_shared(&self) -> bool {
        !matches!(self, Self::Events(_) | Self::EventFrames(_))
    }
}

/// The rows that answer a question.
#[derive(Debug, Clone)]
pub enum QueryResult {
    /// A list of threads.
    Conversations(RowPage<Arc<Conversation>>),
    /// One thread.
    Conversation(Arc<Conversation>),
    /// A list of messages.
    Messages(RowPage<Arc<Message>>),
    /// One message.
    Message(Arc<Message>),
    /// A list of contacts.
    Contacts(RowPage<Arc<Contact>>),
    /// One contact.
    Contact(Arc<Contact>),
    /// A part of the log.
    Events(EventPage),
}

/// Lifetime of a cached list (contract, section 4).
const LIST_TTL: Duration = Duration::from_secs(8);

impl QueryResult {
    /// How long a page of this answer may be served: 8 s, or by status for one message
    /// (contract, section 5).
    #[must_use]
    pub fn cache_ttl(&self) -> Duration {
        let Self::Message(message) = self else { return LIST_TTL };
        Duration::from_secs(match message.status {
            MessageStatus::Pending | MessageStatus::Sent | MessageStatus::Received => 5,
            MessageStatus::Delivered => 10,
            MessageStatus::Read | MessageStatus::Failed => 60,
        })
    }

    /// How far it reaches, where it is a part of the log.
    #[must_use]
    pub const fn log_reach(&self) -> Option<LogReach> {
        match self {
            Self::Events(page) => {
                Some(LogReach { last_sequence: page.last_sequence, has_more: page.has_more })
            }
            Self::Conversations(_)
            | Self::Conversation(_)
            | Self::Messages(_)
            | Self::Message(_)
            | Self::Contacts(_)
            | Self::Contact(_) => None,
        }
    }

    /// Rows of the answer.
    #[must_use]
    pub fn count_rows(&self) -> usize {
        match self {
            Self::Conversations(page) => page.rows.len(),
            Self::Messages(page) => page.rows.len(),
            Self::Contacts(page) => page.rows.len(),
            Self::Events(page) => page.events.len(),
            Self::Conversation(_) | Self::Message(_) | Self::Contact(_) => 1,
        }
    }
}

/// The head of a page, compressed.
#[derive(Debug)]
pub struct CompressedHead {
    /// Bytes that a decompressor can be fed before the rest is known.
    pub bytes: Bytes,
    /// Checksum of the head as it was.
    pub checksum: u32,
}

/// How far a part of the log reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogReach {
    /// Number of the last event that was looked at.
    pub last_sequence: i64,
    /// Whether the log goes on behind it.
    pub has_more: bool,
}

/// A page as it leaves the server, but for the request's id.
#[derive(Debug)]
pub struct RenderedPage {
    /// The value of the `ETag` header, `W/` and quotes included.
    pub etag: Bytes,
    /// The JSON body up to and including `"request_id":"`; the id and `"}` follow.
    pub head: Bytes,
    /// Rows in it.
    pub rows: usize,
    /// How far it reaches, where it is a part of the log.
    pub reach: Option<LogReach>,
    /// The head, compressed for the first client that asked for it compressed.
    pub compressed: OnceLock<CompressedHead>,
}

impl RenderedPage {
    /// As the Redis cache keeps it.
    pub(crate) fn to_shared(&self) -> RedisPage {
        RedisPage { etag: self.etag.clone(), head: self.head.clone(), rows: self.rows }
    }
}

impl From<RedisPage> for RenderedPage {
    fn from(page: RedisPage) -> Self {
        Self { etag: page.etag, head: page.head, rows: page.rows, reach: None, compressed: OnceLock::new() }
    }
}

/// Turns rows into bytes. Never called on a hit.
pub trait RenderRows: Send + Sync {
    /// Renders one answer; once per question and change.
    fn render(&self, account: &Account, question: &ReadQuery, answer: &QueryResult) -> RenderedPage;

    /// Renders an event of this account. The same event has the same bytes always and everywhere, in
    /// lists, in streams and in what is signed.
    fn event(&self, account: &Account, event: &Event) -> Bytes;
}

/// What a reader gets.
#[derive(Debug, Clone)]
pub struct CachedResponse {
    /// The page; `None` when the account has no such thing.
    pub page: Option<Arc<RenderedPage>>,
    /// Whether it had been rendered before this question came.
    pub hit: bool,
    /// Whole seconds for which it may still be served.
    pub ttl_s: u64,
}
