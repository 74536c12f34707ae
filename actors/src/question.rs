//! What readers ask of an account, and what they get.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::message::Message;
use kabar_core::domain::page::{ContactQuery, ConversationQuery, MessageQuery, Page};
use kabar_core::domain::status::MessageStatus;
use kabar_core::ids::{AccountId, ContactId, ConversationId, MessageId};
use kabar_core::shared_memory::SharedPage;

/// One question. Equal questions of one account share one rendered page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
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
}

impl Question {
    /// What tells this question from every other one of its account.
    pub(crate) fn text(&self, account: AccountId) -> String {
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
        }
    }
}

/// The rows that answer a question.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A list of threads.
    Conversations(Page<Arc<Conversation>>),
    /// One thread.
    Conversation(Arc<Conversation>),
    /// A list of messages.
    Messages(Page<Arc<Message>>),
    /// One message.
    Message(Arc<Message>),
    /// A list of contacts.
    Contacts(Page<Arc<Contact>>),
    /// One contact.
    Contact(Arc<Contact>),
}

/// Lifetime of a cached list (contract, section 4).
const LIST_TTL: Duration = Duration::from_secs(8);

impl Answer {
    /// How long a page of this answer may be served: 8 s, or by status for one message
    /// (contract, section 5).
    #[must_use]
    pub fn ttl(&self) -> Duration {
        let Self::Message(message) = self else { return LIST_TTL };
        Duration::from_secs(match message.status {
            MessageStatus::Pending | MessageStatus::Sent | MessageStatus::Received => 5,
            MessageStatus::Delivered => 10,
            MessageStatus::Read | MessageStatus::Failed => 60,
        })
    }

    /// Rows of the answer.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Conversations(page) => page.rows.len(),
            Self::Messages(page) => page.rows.len(),
            Self::Contacts(page) => page.rows.len(),
            Self::Conversation(_) | Self::Message(_) | Self::Contact(_) => 1,
        }
    }
}

/// The head of a page, compressed.
#[derive(Debug)]
pub struct Compressed {
    /// Bytes that a decompressor can be fed before the rest is known.
    pub bytes: Bytes,
    /// Checksum of the head as it was.
    pub checksum: u32,
}

/// A page as it leaves the server, but for the request's id.
#[derive(Debug)]
pub struct Rendered {
    /// The value of the `ETag` header, `W/` and quotes included.
    pub etag: Bytes,
    /// The JSON body up to and including `"request_id":"`; the id and `"}` follow.
    pub head: Bytes,
    /// Rows in it.
    pub rows: usize,
    /// The head, compressed for the first client that asked for it compressed.
    pub compressed: OnceLock<Compressed>,
}

impl Rendered {
    /// As the shared memory keeps it.
    pub(crate) fn shared(&self) -> SharedPage {
        SharedPage { etag: self.etag.clone(), head: self.head.clone(), rows: self.rows }
    }
}

impl From<SharedPage> for Rendered {
    fn from(page: SharedPage) -> Self {
        Self { etag: page.etag, head: page.head, rows: page.rows, compressed: OnceLock::new() }
    }
}

/// Turns rows into bytes. Called once per question and change, never on a hit.
pub trait Render: Send + Sync {
    /// Renders one answer.
    fn render(&self, account: &Account, question: &Question, answer: &Answer) -> Rendered;
}

/// What a reader gets.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The page; `None` when the account has no such thing.
    pub page: Option<Arc<Rendered>>,
    /// Whether it had been rendered before this question came.
    pub hit: bool,
    /// Whole seconds for which it may still be served.
    pub ttl_s: u64,
}
