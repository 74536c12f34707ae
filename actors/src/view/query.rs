//! Read queries of an account, and their results.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::event::Event;
use kabar_core::domain::log::{EventPage, EventQuery};
use kabar_core::domain::message::Message;
use kabar_core::domain::page::{
    ContactQuery, ConversationQuery, MessageQuery, NamedTemplateQuery, RowPage, TemplateQuery,
};
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::template::Template;
use kabar_core::ids::{AccountId, ContactId, ConversationId, MessageId};
use kabar_core::redis::RedisPage;

/// One read query. Equal queries of one account share one rendered page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReadQuery {
    /// A list of conversations.
    Conversations(ConversationQuery),
    /// One conversation.
    Conversation(ConversationId),
    /// A list of messages.
    Messages(MessageQuery),
    /// One message.
    Message(MessageId),
    /// A list of contacts.
    Contacts(ContactQuery),
    /// One contact.
    Contact(ContactId),
    /// A list of templates.
    Templates(TemplateQuery),
    /// The one template of a name.
    Template(NamedTemplateQuery),
    /// A part of the log, as a list.
    Events(EventQuery),
    /// A part of the log, as a stream sends it.
    EventFrames(EventQuery),
}

/// Kind of rows that cached pages show. Each kind has a cache of its own, emptied by the commits that change such rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// Lists of conversations, and single ones.
    Conversations,
    /// Lists of messages.
    Messages,
    /// Single messages.
    SingleMessages,
    /// Lists of contacts, and single ones.
    Contacts,
    /// Lists of templates, and single ones.
    Templates,
    /// Parts of the log.
    Events,
}

/// Key of a cached response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseKey<'a> {
    /// Kind of the response's rows.
    pub kind: PageKind,
    /// Text of the request. Equal texts get equal responses; it is compared, never interpreted.
    pub request: &'a str,
}

impl ReadQuery {
    /// Returns the kind of the rows that this query reads.
    #[must_use]
    pub const fn page_kind(&self) -> PageKind {
        match self {
            Self::Conversations(_) | Self::Conversation(_) => PageKind::Conversations,
            Self::Messages(_) => PageKind::Messages,
            Self::Message(_) => PageKind::SingleMessages,
            Self::Contacts(_) | Self::Contact(_) => PageKind::Contacts,
            Self::Templates(_) | Self::Template(_) => PageKind::Templates,
            Self::Events(_) | Self::EventFrames(_) => PageKind::Events,
        }
    }

    /// Returns the text that identifies this query among those of its account.
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
            Self::Templates(query) => {
                format!("{}#{}#{:?}", query.scope(account), query.limit.rows(), query.after)
            }
            Self::Template(query) => format!("template/{:?}", (&query.name, &query.language)),
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

    /// Returns `true` when its pages are worth storing in Redis, where other nodes find them. Parts of the log
    /// are read at many different positions, and on the node that serves the account.
    pub(crate) const fn is_shared(&self) -> bool {
        !matches!(self, Self::Events(_) | Self::EventFrames(_))
    }
}

/// The rows that answer a query.
#[derive(Debug, Clone)]
pub enum QueryResult {
    /// A list of conversations.
    Conversations(RowPage<Arc<Conversation>>),
    /// One conversation.
    Conversation(Arc<Conversation>),
    /// A list of messages.
    Messages(RowPage<Arc<Message>>),
    /// One message.
    Message(Arc<Message>),
    /// A list of contacts.
    Contacts(RowPage<Arc<Contact>>),
    /// One contact.
    Contact(Arc<Contact>),
    /// A list of templates.
    Templates(RowPage<Arc<Template>>),
    /// One template.
    Template(Arc<Template>),
    /// A part of the log.
    Events(EventPage),
}

/// Lifetime of a cached list (contract, section 4).
const LIST_TTL: Duration = Duration::from_secs(8);

impl QueryResult {
    /// Returns the time for which a page of this answer may be served: 8 s, or by status for one message
    /// (contract, section 5).
    #[must_use]
    pub fn cache_ttl(&self) -> Duration {
        let Self::Message(message) = self else { return LIST_TTL };
        Duration::from_secs(match message.status {
            MessageStatus::Pending | MessageStatus::Sent | MessageStatus::Received => 5,
            MessageStatus::Delivered => 10,
            MessageStatus::Read | MessageStatus::Played | MessageStatus::Failed => 60,
        })
    }

    /// Returns the reach of a part of the log; `None` for other answers.
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
            | Self::Contact(_)
            | Self::Templates(_)
            | Self::Template(_) => None,
        }
    }

    /// Counts the rows of the answer.
    #[must_use]
    pub fn count_rows(&self) -> usize {
        match self {
            Self::Conversations(page) => page.rows.len(),
            Self::Messages(page) => page.rows.len(),
            Self::Contacts(page) => page.rows.len(),
            Self::Templates(page) => page.rows.len(),
            Self::Events(page) => page.events.len(),
            Self::Conversation(_) | Self::Message(_) | Self::Contact(_) | Self::Template(_) => 1,
        }
    }
}

/// The compressed head of a page.
#[derive(Debug)]
pub struct CompressedHead {
    /// Deflate bytes that a decompressor can be fed before the rest is known.
    pub bytes: Bytes,
    /// Checksum of the uncompressed head.
    pub checksum: u32,
}

/// Reach of a part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogReach {
    /// Number of the last event that was read.
    pub last_sequence: i64,
    /// Set when the log goes on behind it.
    pub has_more: bool,
}

/// A rendered page, without the request's id.
#[derive(Debug)]
pub struct RenderedPage {
    /// The value of the `ETag` header, `W/` and quotes included.
    pub etag: Bytes,
    /// The JSON body up to and including `"request_id":"`; the id and `"}` follow.
    pub head: Bytes,
    /// Rows in it.
    pub rows: usize,
    /// Reach of the page, where it is a part of the log.
    pub reach: Option<LogReach>,
    /// The head, compressed for the first client that requested it compressed.
    pub compressed: OnceLock<CompressedHead>,
}

impl RenderedPage {
    /// Converts the page to the form of the Redis cache.
    pub(crate) fn to_shared(&self) -> RedisPage {
        RedisPage { etag: self.etag.clone(), head: self.head.clone(), rows: self.rows }
    }
}

impl From<RedisPage> for RenderedPage {
    fn from(page: RedisPage) -> Self {
        Self { etag: page.etag, head: page.head, rows: page.rows, reach: None, compressed: OnceLock::new() }
    }
}

/// Renders rows to bytes. Never called on a cache hit.
pub trait RenderRows: Send + Sync {
    /// Renders one answer; once per query and change.
    fn render(&self, account: &Account, question: &ReadQuery, answer: &QueryResult) -> RenderedPage;

    /// Renders an event of this account. The same event has the same bytes always and everywhere: in lists, in
    /// streams and in signed payloads.
    fn event(&self, account: &Account, event: &Event) -> Bytes;
}

/// Response to a read query.
#[derive(Debug, Clone)]
pub struct CachedResponse {
    /// The page; `None` when the account has no such row.
    pub page: Option<Arc<RenderedPage>>,
    /// Set when the page had been rendered before this query.
    pub hit: bool,
    /// Whole seconds for which it may still be served.
    pub ttl_s: u64,
}
