//! Questions that readers ask: filters, limits, and the place in an order where a page begins.
//!
//! Invariant: every order is total (a time, then the id), descending, and a page continues
//! strictly below the last row of the page before it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::conversation::ConversationStatus;
use super::delivery::DeliveryStatus;
use super::event::EventType;
use super::message::Direction;
use super::phone::Phone;
use super::status::MessageStatus;
use super::time::Timestamp;
use crate::ids::{
    AccountId, ContactId, ConversationId, DeliveryId, MessageId, OrganisationId, PluginId, RunId, RunLogId,
    SubscriptionId,
};

/// Rows of a page: 1 to 100, 25 unless asked otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageLimit(u8);

impl PageLimit {
    /// The most rows of one page.
    pub const MAX: i64 = 100;

    /// `None` outside 1 to 100.
    #[must_use]
    pub fn new(rows: i64) -> Option<Self> {
        u8::try_from(rows).ok().filter(|n| (1..=100).contains(n)).map(Self)
    }

    /// As a row count.
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

/// The last row of the page before: its sort key and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PagePosition {
    /// Milliseconds of the sort column, or `NEVER`.
    pub key: i64,
    /// The id's 128 bits.
    pub id: u128,
}

/// Which column a list of conversations is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationOrder {
    /// `last_message_at`, the order without `updated_since`.
    Recency,
    /// `updated_at`, the order of a delta sync.
    Updated,
}

/// A list of conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ConversationQuery {
    /// Only these.
    pub status: Option<ConversationStatus>,
    /// Only the thread with this contact.
    pub contact_id: Option<ContactId>,
    /// Only rows whose `updated_at` is strictly later.
    pub updated_since: Option<Timestamp>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// Where the page begins.
    pub after: Option<PagePosition>,
}

impl ConversationQuery {
    /// The order that the filters imply.
    #[must_use]
    pub const fn order(&self) -> ConversationOrder {
        if self.updated_since.is_some() { ConversationOrder::Updated } else { ConversationOrder::Recency }
    }

    /// What a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let mut scope = format!("conversations/{account}");
        bind_scope(&mut scope, "status", self.status.map(ConversationStatus::as_str));
        bind_scope(&mut scope, "contact_id", self.contact_id);
        bind_scope(&mut scope, "updated_since", self.updated_since);
        scope
    }
}

/// A list of messages, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MessageQuery {
    /// Only this thread's.
    pub conversation_id: Option<ConversationId>,
    /// Only this way.
    pub direction: Option<Direction>,
    /// Only those that stand here.
    pub status: Option<MessageStatus>,
    /// Only rows whose `created_at` is strictly later than this millisecond.
    pub created_after: Option<Timestamp>,
    /// Only rows whose `created_at` is strictly earlier than this millisecond.
    pub created_before: Option<Timestamp>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<MessageId>,
}

impl MessageQuery {
    /// What a cursor of this list is bound to.
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

/// A list of contacts, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ContactQuery {
    /// Only the one with this number.
    pub phone: Option<Phone>,
    /// Only those whose name, number or email address contains this, in any case; see [`fold_text`].
    pub search: Option<Arc<str>>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<ContactId>,
}

impl ContactQuery {
    /// What a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let mut scope = format!("contacts/{account}");
        bind_scope(&mut scope, "phone", self.phone.as_ref());
        bind_scope(&mut scope, "search", self.search.as_deref());
        scope
    }
}

/// Some of a tenant's deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryFilter {
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// Only this subscription's.
    pub subscription_id: Option<SubscriptionId>,
    /// Only those that stand so.
    pub status: Option<DeliveryStatus>,
    /// Only of this type.
    pub event_type: Option<EventType>,
    /// Only rows whose `created_at` is strictly later than this millisecond.
    pub created_after: Option<Timestamp>,
    /// Only rows whose `created_at` is strictly earlier than this millisecond.
    pub created_before: Option<Timestamp>,
}

impl DeliveryFilter {
    /// All of a tenant's.
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

/// A list of deliveries, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryQuery {
    /// Which.
    pub filter: DeliveryFilter,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<DeliveryId>,
}

impl DeliveryQuery {
    /// What a cursor of this list is bound to.
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

/// A list of a plugin's runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunQuery {
    /// Whose.
    pub plugin_id: PluginId,
    /// Only those that stand so.
    pub status: Option<DeliveryStatus>,
    /// Only rows whose `created_at` is strictly later than this millisecond.
    pub created_after: Option<Timestamp>,
    /// Only rows whose `created_at` is strictly earlier than this millisecond.
    pub created_before: Option<Timestamp>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<RunId>,
}

impl RunQuery {
    /// What a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self) -> String {
        let mut scope = format!("runs/{}", self.plugin_id);
        bind_scope(&mut scope, "status", self.status.map(DeliveryStatus::as_str));
        bind_scope(&mut scope, "created_after", self.created_after);
        bind_scope(&mut scope, "created_before", self.created_before);
        scope
    }
}

/// A list of the logs of a plugin's runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunLogQuery {
    /// Whose.
    pub plugin_id: PluginId,
    /// Only of this run.
    pub run_id: Option<RunId>,
    /// Rows of the page.
    pub limit: PageLimit,
    /// The last row of the page before.
    pub after: Option<RunLogId>,
}

impl RunLogQuery {
    /// What a cursor of this list is bound to.
    #[must_use]
    pub fn scope(&self) -> String {
        let mut scope = format!("run_logs/{}", self.plugin_id);
        bind_scope(&mut scope, "run_id", self.run_id);
        scope
    }
}

/// A text as searches compare it: lower case, in Unicode's sense.
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

/// Rows of one page, and whether more follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage<T> {
    /// At most the limit.
    pub rows: Vec<T>,
    /// Whether a row lies below the last one.
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
