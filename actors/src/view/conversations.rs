//! Conversations of one account in memory, in both orders, cheap to clone.
//!
//! Invariant: every conversation that changed after the *horizon* is here. Because `last_message_at` is never
//! later than `updated_at`, a page is exact from memory as long as every row that decides it lies above the
//! horizon, in either order. A page that reaches lower is not answered here.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::page::{ConversationOrder, ConversationQuery, PagePosition, RowPage};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ContactId, ConversationId};

type ConversationIndex = OrdMap<PagePosition, Arc<Conversation>>;

/// Conversations of one status, by both sort keys.
#[derive(Debug, Clone, Default)]
struct StatusShelf {
    by_recency: ConversationIndex,
    by_updated: ConversationIndex,
}

impl StatusShelf {
    const fn index_for(&self, order: ConversationOrder) -> &ConversationIndex {
        match order {
            ConversationOrder::Recency => &self.by_recency,
            ConversationOrder::Updated => &self.by_updated,
        }
    }
}

fn recency_key(conversation: &Conversation) -> PagePosition {
    PagePosition { key: conversation.recency_key(), id: conversation.id.bits() }
}

fn updated_key(conversation: &Conversation) -> PagePosition {
    PagePosition { key: conversation.updated_at.millis(), id: conversation.id.bits() }
}

/// Returns the function that gives a conversation's sort key in an order.
const fn key_of(order: ConversationOrder) -> fn(&Conversation) -> PagePosition {
    match order {
        ConversationOrder::Recency => recency_key,
        ConversationOrder::Updated => updated_key,
    }
}

/// Conversations in memory, and the horizon below which some may be missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversations {
    by_id: HashMap<ConversationId, Arc<Conversation>>,
    by_contact: HashMap<ContactId, ConversationId>,
    open: StatusShelf,
    pending: StatusShelf,
    resolved: StatusShelf,
    /// Conversations that did not change after this instant may be missing; `None`: none is.
    horizon: Option<Timestamp>,
}

impl Conversations {
    /// Builds the indices of the newest conversations of an account.
    pub(crate) fn load_rows(conversations: Vec<Arc<Conversation>>, complete: bool) -> Self {
        let oldest = conversations.iter().map(|conversation| conversation.updated_at).min();
        let mut loaded = Self { horizon: if complete { None } else { oldest }, ..Self::default() };
        for conversation in conversations {
            loaded.put_conversation(conversation);
        }
        loaded
    }

    const fn status_shelf(&self, status: ConversationStatus) -> &StatusShelf {
        match status {
            ConversationStatus::Open => &self.open,
            ConversationStatus::Pending => &self.pending,
            ConversationStatus::Resolved => &self.resolved,
        }
    }

    const fn shelf_mut(&mut self, status: ConversationStatus) -> &mut StatusShelf {
        match status {
            ConversationStatus::Open => &mut self.open,
            ConversationStatus::Pending => &mut self.pending,
            ConversationStatus::Resolved => &mut self.resolved,
        }
    }

    /// Counts the conversations in memory.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns the horizon, if there are conversations below it.
    pub(crate) const fn view_horizon(&self) -> Option<Timestamp> {
        self.horizon
    }

    /// Iterates over the conversations in memory, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Conversation>> {
        self.by_id.values()
    }

    /// Finds a conversation in memory.
    pub(crate) fn get(&self, id: ConversationId) -> Option<&Arc<Conversation>> {
        self.by_id.get(&id)
    }

    /// Adds a conversation, or replaces its former state.
    ///
    /// A conversation that was merged into another one is in no list.
    pub(crate) fn put_conversation(&mut self, conversation: Arc<Conversation>) {
        self.remove_conversation(conversation.id);
        if conversation.merged_into.is_some() {
            return;
        }
        let place = self.shelf_mut(conversation.status);
        place.by_recency.insert(recency_key(&conversation), conversation.clone());
        place.by_updated.insert(updated_key(&conversation), conversation.clone());
        self.by_contact.insert(conversation.contact.id, conversation.id);
        self.by_id.insert(conversation.id, conversation);
    }

    /// Removes a conversation that was deleted, and returns it if it was in memory.
    pub(crate) fn remove_conversation(&mut self, id: ConversationId) -> Option<Arc<Conversation>> {
        let old = self.by_id.remove(&id)?;
        let place = self.shelf_mut(old.status);
        place.by_recency.remove(&recency_key(&old));
        place.by_updated.remove(&updated_key(&old));
        self.by_contact.remove(&old.contact.id);
        Some(old)
    }

    /// Drops the conversations that changed longest ago until `max` are left, and raises the horizon. Returns
    /// the dropped ones.
    pub(crate) fn trim_rows(&mut self, max: usize) -> Vec<Arc<Conversation>> {
        let mut dropped = Vec::new();
        while self.by_id.len() > max {
            let oldest = ConversationStatus::ALL
                .into_iter()
                .filter_map(|status| {
                    self.status_shelf(status)
                        .by_updated
                        .get_min()
                        .map(|(place, conversation)| (*place, conversation.id))
                })
                .min();
            let Some((place, id)) = oldest else { break };
            self.horizon = self.horizon.max(Some(Timestamp::from_millis(place.key)));
            dropped.extend(self.remove_conversation(id));
        }
        dropped
    }

    /// Returns the page, if memory can answer it exactly.
    pub(crate) fn read_page(&self, query: &ConversationQuery) -> Option<RowPage<Arc<Conversation>>> {
        if let Some(contact) = query.contact_id {
            return self.page_of_contact(contact, query);
        }
        let order = query.order();
        let key = key_of(order);
        let floor = query.updated_since.map(Timestamp::millis);
        let horizon = self.horizon.map(Timestamp::millis);
        let mut rows = Vec::with_capacity(query.limit.rows() + 1);
        for conversation in self.iter_descending(query.status, order, query.after) {
            let place = key(conversation).key;
            if floor.is_some_and(|floor| place <= floor) {
                return Some(RowPage::cut_to(rows, query.limit));
            }
            if horizon.is_some_and(|horizon| place <= horizon) {
                return None;
            }
            rows.push(conversation.clone());
            if rows.len() > query.limit.rows() {
                return Some(RowPage::cut_to(rows, query.limit));
            }
        }
        // Memory has no further row. That is the end if no row can lie below the horizon.
        let all_seen = match (horizon, floor) {
            (None, _) => true,
            (Some(horizon), Some(floor)) => floor >= horizon,
            (Some(_), None) => false,
        };
        all_seen.then(|| RowPage::cut_to(rows, query.limit))
    }

    /// Returns the page of one contact. An account has one conversation with a contact, so it has at most one
    /// row.
    fn page_of_contact(
        &self,
        contact: ContactId,
        query: &ConversationQuery,
    ) -> Option<RowPage<Arc<Conversation>>> {
        let conversation = self.by_contact.get(&contact).and_then(|id| self.by_id.get(id));
        let Some(conversation) = conversation else {
            return self.horizon.is_none().then_some(RowPage { rows: Vec::new(), has_more: false });
        };
        let key = key_of(query.order());
        let wanted = query.status.is_none_or(|status| status == conversation.status)
            && query.updated_since.is_none_or(|since| conversation.updated_at > since)
            && query.after.is_none_or(|after| key(conversation) < after);
        let rows = if wanted { vec![conversation.clone()] } else { Vec::new() };
        Some(RowPage { rows, has_more: false })
    }

    /// Iterates over conversations below a position, newest first, of one status or of all.
    fn iter_descending(
        &self,
        status: Option<ConversationStatus>,
        order: ConversationOrder,
        after: Option<PagePosition>,
    ) -> impl Iterator<Item = &Arc<Conversation>> {
        let below = (Bound::Unbounded, after.map_or(Bound::Unbounded, Bound::Excluded));
        let wanted =
            ConversationStatus::ALL.into_iter().filter(move |known| status.is_none_or(|only| only == *known));
        let mut runs: Vec<_> = wanted
            .map(|status| {
                let mut run = self.status_shelf(status).index_for(order).range(below).rev();
                (run.next(), run)
            })
            .collect();
        std::iter::from_fn(move || {
            let (head, run) = runs.iter_mut().max_by_key(|(head, _)| head.map(|(place, _)| *place))?;
            let (_, conversation) = std::mem::replace(head, run.next())?;
            Some(conversation)
        })
    }
}

#[cfg(test)]
mod tests;
