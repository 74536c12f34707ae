//! Queries of lists: filters, limits, and the position in an order at which a page begins.
//!
//! Invariant: every order is total (a time, then the id), descending, and a page continues
//! strictly below the last row of the page before it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::conversation::ConversationStatus;
use super::delivery::DeliveryStatus;
use super::event::EventType;
use super::identity::UserId;
use super::message::Direction;
use super::phone::Phone;
use super::status::MessageStatus;
use super::template::TemplateStatus;
use super::time::Timestamp;
use crate::ids::{
    AccountId, ContactId, ConversationId, DeliveryId, MessageId, OrganisationId, PluginId, RunId, RunLogId,
    SubscriptionId, TemplateId,
};

/// Rows of a page, at most: 1 to 100, 25 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageLimit(u8);

impl PageLimit {
    /// The most rows of one page.
    pub const MAX: i64 = 100;

    /// Creates a limit; `None` outside 1 to 100.
    #[must_use]
    pub fn new(rows: i64) -> Option<Self> {
        u8::try_from(rows).ok().filter(|n| (1..=100).contains(n)).map(Self)
    }

    /// Returns the limit as a row count.
    #[must_use]
    pub fn rows(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(25)
    }
}

/// Position of the last row of the page before: its sort key and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PagePosition {
    /// Milliseconds of the sort column, or `NEVER`.
    pub key: i64,
    /// The id's 128 bits.
    pub id: u128,
}

/// Column by which a list of conversations is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationOrder {
    /// `last_message_at`, the order without `updated_since`.
    Recency,
    /// `updated_at`, the order of a delta sync.
    Updated,
}

/// Query for a list of conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ConversationQuery {
    /// Only conversations in this status.
    pub status: Option<ConversationStatus>,
    /// Only the conversation with this contact.
    pub contact_id: Option<ContactId>,
    /// Only rows with an `updated_at` strictly later.
    pub updated_since: Option<Timestamp>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// Position after which the page begins.
    pub after: Option<PagePosition>,
}

impl ConversationQuery {
    /// The order that the filters imply.
    #[must_use]
    pub const fn order(&self) -> ConversationOrder {
        if self.updated_since.is_some() { ConversationOrder::Updated } else { ConversationOrder::Recency }
    }

    /// Scope that a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let mut scope = format!("conversations/{account}");
        bind_scope(&mut scope, "status", self.status.map(ConversationStatus::as_str));
        bind_scope(&mut scope, "contact_id", self.contact_id);
        bind_scope(&mut scope, "updated_since", self.updated_since);
        scope
    }
}

/// Query for a list of messages, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MessageQuery {
    /// Only messages of this conversation.
    pub conversation_id: Option<ConversationId>,
    /// Only messages in this direction.
    pub direction: Option<Direction>,
    /// Only messages in this status.
    pub status: Option<MessageStatus>,
    /// Only rows with a `created_at` strictly later than this millisecond.
    pub created_after: Option<Timestamp>,
    /// Only rows with a `created_at` strictly earlier than this millisecond.
    pub created_before: Option<Timestamp>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<MessageId>,
}

impl MessageQuery {
    /// Scope that a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let mut scope = format!("messages/{account}");
        bind_scope(&mut scope, "conversation_id", self.conversation_id);
        bind_scope(&mut scope, "direction", self.direction.map(Direction::as_str));
        bind_scope(&mut scope, "status", self.status.map(MessageStatus::as_str));
        bind_scope(&mut scope, "created_after", self.created_after);
        bind_scope(&mut scope, "created_before", self.created_before);
        scope
    }
}

/// Query for a list of contacts, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ContactQuery {
    /// Only the contact with this number, in any of its forms.
    pub phone: Option<Phone>,
    /// Only the contact with this user id, of either kind.
    pub user_id: Option<UserId>,
    /// Only contacts with a name, number or email address that contains this, in any case; see [`fold_text`].
    pub search: Option<Arc<str>>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<ContactId>,
}

impl ContactQuery {
    /// Scope that a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let mut scope = format!("contacts/{account}");
        bind_scope(&mut scope, "phone", self.phone.as_ref());
        bind_scope(&mut scope, "user_id", self.user_id.as_ref().map(UserId::as_str));
        bind_scope(&mut scope, "search", self.search.as_deref());
        scope
    }
}

/// Query for a list of templates, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TemplateQuery {
    /// Only templates in this state.
    pub status: Option<TemplateStatus>,
    /// Only templates in this language.
    pub language: Option<Arc<str>>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<TemplateId>,
}

impl TemplateQuery {
    /// Scope that a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let mut scope = format!("templates/{account}");
        bind_scope(&mut scope, "status", self.status.map(TemplateStatus::as_str));
        bind_scope(&mut scope, "language", self.language.as_deref());
        scope
    }
}

/// Query for the one template of a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedTemplateQuery {
    /// The name.
    pub name: Arc<str>,
    /// The language; may be left out where there is one.
    pub language: Option<Arc<str>>,
}

/// Filter of a tenant's deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryFilter {
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// Only deliveries of this subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// Only deliveries in this status.
    pub status: Option<DeliveryStatus>,
    /// Only deliveries of this event type.
    pub event_type: Option<EventType>,
    /// Only rows with a `created_at` strictly later than this millisecond.
    pub created_after: Option<Timestamp>,
    /// Only rows with a `created_at` strictly earlier than this millisecond.
    pub created_before: Option<Timestamp>,
}

impl DeliveryFilter {
    /// All deliveries of a tenant.
    #[must_use]
    pub const fn for_subscriber(organisation_id: OrganisationId) -> Self {
        Self {
            organisation_id,
            subscription_id: None,
            status: None,
            event_type: None,
            created_after: None,
            created_before: None,
        }
    }
}

/// Query for a list of deliveries, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryQuery {
    /// Deliveries to list.
    pub filter: DeliveryFilter,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<DeliveryId>,
}

impl DeliveryQuery {
    /// Scope that a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self) -> String {
        let filter = &self.filter;
        let mut scope = format!("webhook_deliveries/{}", filter.organisation_id);
        bind_scope(&mut scope, "subscription_id", filter.subscription_id);
        bind_scope(&mut scope, "status", filter.status.map(DeliveryStatus::as_str));
        bind_scope(&mut scope, "event_type", filter.event_type.map(EventType::as_str));
        bind_scope(&mut scope, "created_after", filter.created_after);
        bind_scope(&mut scope, "created_before", filter.created_before);
        scope
    }
}

/// Query for a list of a plugin's runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunQuery {
    /// The plugin.
    pub plugin_id: PluginId,
    /// Only runs in this status.
    pub status: Option<DeliveryStatus>,
    /// Only rows with a `created_at` strictly later than this millisecond.
    pub created_after: Option<Timestamp>,
    /// Only rows with a `created_at` strictly earlier than this millisecond.
    pub created_before: Option<Timestamp>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<RunId>,
}

impl RunQuery {
    /// Scope that a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self) -> String {
        let mut scope = format!("runs/{}", self.plugin_id);
        bind_scope(&mut scope, "status", self.status.map(DeliveryStatus::as_str));
        bind_scope(&mut scope, "created_after", self.created_after);
        bind_scope(&mut scope, "created_before", self.created_before);
        scope
    }
}

/// Query for a list of the logs of a plugin's runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunLogQuery {
    /// The plugin.
    pub plugin_id: PluginId,
    /// Only logs of this run.
    pub run_id: Option<RunId>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<RunLogId>,
}

impl RunLogQuery {
    /// Scope that a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self) -> String {
        let mut scope = format!("run_logs/{}", self.plugin_id);
        bind_scope(&mut scope, "run_id", self.run_id);
        scope
    }
}

/// Returns a text in the form that searches compare: lower case, in Unicode's sense.
#[must_use]
pub fn fold_text(text: &str) -> String {
    text.to_lowercase()
}

/// Appends one filter such that no value can imitate another filter.
fn bind_scope<T: std::fmt::Display>(scope: &mut String, name: &str, value: Option<T>) {
    if let Some(value) = value {
        let text = value.to_string();
        // Writing into a String cannot fail.
        let _infallible = write!(scope, "&{name}={}:{text}", text.len());
    }
}

/// Rows of one page, and a flag for further rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage<T> {
    /// At most the limit.
    pub rows: Vec<T>,
    /// `true` when a row lies below the last one.
    pub has_more: bool,
}

impl<T> RowPage<T> {
    /// Cuts the look-ahead row off rows that were read with one more than the limit.
    #[must_use]
    pub fn cut_to(mut rows: Vec<T>, limit: PageLimit) -> Self {
        let has_more = rows.len() > limit.rows();
        rows.truncate(limit.rows());
        Self { rows, has_more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_1_to_100() {
        assert_eq!(PageLimit::default().rows(), 25);
        for rows in [-1, 0, 101, 256, i64::MAX] {
            assert_eq!(PageLimit::new(rows), None);
        }
        assert_eq!(PageLimit::new(1).map(PageLimit::rows), Some(1));
        assert_eq!(PageLimit::new(100).map(PageLimit::rows), Some(100));
    }

    #[test]
    fn scopes_tell_filters_apart() {
        let account = AccountId::from_bits(1);
        let a = ContactQuery { search: Some("x&phone=3:+62".into()), ..ContactQuery::default() };
        let b = ContactQuery {
            search: Some("x".into()),
            phone: Phone::parse("+6212345"),
            ..ContactQuery::default()
        };
        assert_ne!(a.scope(account), b.scope(account));
        assert_ne!(a.scope(account), a.scope(AccountId::from_bits(2)));
        let limited = ContactQuery { limit: PageLimit::new(3).unwrap(), ..a.clone() };
        assert_eq!(a.scope(account), limited.scope(account));
    }
}
