//! Immutable view of an account, as readers see it.
//!
//! Invariant: a view is published after its commit is durable and before the commit's callers are
//! answered, with empty caches for every kind of row that the commit changed. So a page that
//! outlives its rows cannot be found.

use std::collections::BTreeSet;
use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::draft::AccountChanges;
use kabar_core::domain::log::NewestEvents;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::ConversationId;

use super::conversations::Conversations;
use super::query::{PageKind, ReadQuery};
use super::response_cache::ResponseCache;

/// State of an account after one commit, with the caches of its pages.
#[derive(Debug)]
pub(crate) struct AccountView {
    /// The account as of this commit.
    pub(crate) account: Arc<Account>,
    /// Number of the commit.
    pub(crate) revision: i64,
    /// Number of the last event.
    pub(crate) sequence: i64,
    /// Newest events by type. They tell which events lie behind a position without reading the log.
    pub(crate) newest_events: NewestEvents,
    /// Instant of the commit.
    pub(crate) committed_at: Timestamp,
    /// Conversations in memory.
    pub(crate) conversations: Conversations,
    /// Conversations that were deleted, and whose messages are being erased: no reader is shown them.
    pub(crate) erasing: Arc<BTreeSet<ConversationId>>,
    /// `true` when the account has, or has had since it was loaded, templates.
    pub(crate) has_templates: bool,
    conversation_pages: Arc<ResponseCache>,
    message_pages: Arc<ResponseCache>,
    contact_pages: Arc<ResponseCache>,
    template_pages: Arc<ResponseCache>,
    event_pages: Arc<ResponseCache>,
    /// Pages of single messages. All views share them, because a commit knows which it changes.
    single_messages: Arc<ResponseCache>,
}

impl AccountView {
    /// The first view after activation.
    pub(crate) fn first_page(
        account: Arc<Account>,
        revision: i64,
        sequence: i64,
        at: Timestamp,
        conversations: Conversations,
        erasing: BTreeSet<ConversationId>,
    ) -> Self {
        Self {
            erasing: Arc::new(erasing),
            account,
            revision,
            sequence,
            newest_events: NewestEvents::events_before(sequence),
            committed_at: at,
            conversations,
            conversation_pages: Arc::default(),
            message_pages: Arc::default(),
            contact_pages: Arc::default(),
            has_templates: true,
            template_pages: Arc::default(),
            event_pages: Arc::default(),
            single_messages: Arc::default(),
        }
    }

    /// The same view, of an account that has templates or has none.
    pub(crate) fn with_templates(self, has_templates: bool) -> Self {
        Self { has_templates, ..self }
    }

    /// The view after a commit. Pages of kinds that did not change are carried over.
    pub(crate) fn next(
        &self,
        changes: &AccountChanges,
        (sequence, newest_events): (i64, NewestEvents),
        at: Timestamp,
        conversations: Conversations,
    ) -> Self {
        let keep = |pages: &Arc<ResponseCache>, unchanged: bool| {
            if unchanged { pages.clone() } else { Arc::default() }
        };
        let erases = !changes.deleted.is_empty() || !changes.removed.is_empty();
        Self {
            erasing: self.next_erasing(changes),
            account: changes.account.clone().unwrap_or_else(|| self.account.clone()),
            revision: self.revision + 1,
            sequence,
            newest_events,
            committed_at: at,
            conversations,
            conversation_pages: keep(
                &self.conversation_pages,
                changes.conversations.is_empty() && changes.deleted.is_empty(),
            ),
            message_pages: keep(
                &self.message_pages,
                changes.messages.is_empty() && changes.merges.is_empty() && !erases,
            ),
            contact_pages: keep(
                &self.contact_pages,
                changes.contacts.is_empty() && changes.deleted.is_empty(),
            ),
            has_templates: self.has_templates || !changes.templates.is_empty(),
            template_pages: keep(
                &self.template_pages,
                changes.templates.is_empty() && changes.removed_templates.is_empty(),
            ),
            // Data was erased from events before their erasure ends, or with the messages that they show.
            event_pages: keep(
                &self.event_pages,
                sequence == self.sequence && changes.ended_erasures.is_empty() && changes.removed.is_empty(),
            ),
            single_messages: self.single_messages.clone(),
        }
    }

    fn next_erasing(&self, changes: &AccountChanges) -> Arc<BTreeSet<ConversationId>> {
        if changes.deleted.is_empty() && changes.ended_erasures.is_empty() {
            return self.erasing.clone();
        }
        let mut erasing = (*self.erasing).clone();
        erasing.extend(changes.deleted.iter().filter_map(|deleted| deleted.conversation));
        for (_, conversation) in &changes.ended_erasures {
            if let Some(id) = conversation {
                erasing.remove(id);
            }
        }
        Arc::new(erasing)
    }

    /// Drops the pages of single messages that a commit changed. To be called once the commit is
    /// durable, before it is acknowledged.
    pub(crate) fn forget_messages(&self, changes: &AccountChanges) {
        if !changes.merges.is_empty() || !changes.deleted.is_empty() {
            // The moved or deleted messages are not listed.
            self.single_messages.forget_all();
            return;
        }
        let changed = changes.messages.keys().chain(&changes.removed);
        self.single_messages.forget_queries(changed.copied().map(ReadQuery::Message));
    }

    /// Returns the cache of pages of this kind.
    pub(crate) const fn pages_of_kind(&self, kind: PageKind) -> &Arc<ResponseCache> {
        match kind {
            PageKind::Conversations => &self.conversation_pages,
            PageKind::Messages => &self.message_pages,
            PageKind::SingleMessages => &self.single_messages,
            PageKind::Contacts => &self.contact_pages,
            PageKind::Templates => &self.template_pages,
            PageKind::Events => &self.event_pages,
        }
    }

    /// Removes expired pages.
    pub(crate) fn expire_pages(&self, now: MonotonicInstant) {
        for pages in [
            &self.conversation_pages,
            &self.message_pages,
            &self.contact_pages,
            &self.template_pages,
            &self.event_pages,
            &self.single_messages,
        ] {
            pages.expire_responses(now);
        }
    }
}
