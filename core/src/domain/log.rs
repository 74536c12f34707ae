//! Queries on an account's event log: query, page, and the knowledge that avoids a read.
//!
//! Invariant: a page names the number of the last event that was scanned, wanted or not. A reader that
//! continues from there misses no event and gets none twice.

use super::event::{Event, EventType, EventTypes};
use super::page::PageLimit;
use crate::ids::AccountId;

/// A part of the log, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventQuery {
    /// Only events of a greater number; 0 is "from the oldest that is kept".
    pub after: i64,
    /// Only events of these types.
    pub types: EventTypes,
    /// Events of the page, at most.
    pub limit: PageLimit,
}

impl EventQuery {
    /// Scope that a cursor of this list is bound to. `after` is left out, because it only sets the start of
    /// the first page.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let words: Vec<&str> = self.types.iter().map(EventType::as_str).collect();
        format!("events/{account}&types={}", words.join(","))
    }
}

/// Some events, and the last position that was scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// At most the limit, oldest first.
    pub events: Vec<Event>,
    /// Number of the last event that was scanned: the next page continues after it.
    pub last_sequence: i64,
    /// `true` when the log continues after it. A query by type may find nothing in the rest.
    pub has_more: bool,
}

impl EventPage {
    /// An empty page that ends at this number.
    #[must_use]
    pub const fn empty_at(last_sequence: i64) -> Self {
        Self { events: Vec::new(), last_sequence, has_more: false }
    }
}

/// Result of a read of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRead {
    /// The requested events.
    Page(EventPage),
    /// Events after the position are no longer kept.
    Expired {
        /// The oldest number that is kept.
        oldest: i64,
    },
}

/// Per type, the number of its newest event, or a greater one: no event of the type follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestEvents([i64; EventType::ALL.len()]);

impl NewestEvents {
    /// Bounds of a log that ends at this number, with nothing else known.
    #[must_use]
    pub const fn events_before(sequence: i64) -> Self {
        Self([sequence; EventType::ALL.len()])
    }

    /// The bounds after these events, which follow.
    #[must_use]
    pub fn with_events(mut self, events: &[Event]) -> Self {
        for event in events {
            let of_type = EventType::ALL.iter().position(|known| *known == event.kind.event_type());
            if let Some(newest) = of_type.and_then(|place| self.0.get_mut(place)) {
                *newest = event.sequence;
            }
        }
        self
    }

    /// Returns the greatest number that an event of these types can have; 0 when there are none.
    #[must_use]
    pub fn from_events(&self, types: EventTypes) -> i64 {
        let wanted = EventType::ALL.iter().zip(self.0).filter(|(one, _)| types.contains_type(**one));
        wanted.map(|(_, newest)| newest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_bound_to_the_types_and_not_to_the_beginning() {
        let query = |after, types: &[EventType]| EventQuery {
            after,
            types: types.iter().copied().collect(),
            limit: PageLimit::default(),
        };
        let scope = |query: EventQuery| query.scope(AccountId::from_bits(1));
        let both = [EventType::MessageSent, EventType::ContactCreated];
        let reversed = [EventType::ContactCreated, EventType::MessageSent];
        assert_eq!(scope(query(0, &both)), scope(query(7, &reversed)));
        assert_ne!(scope(query(0, &both)), scope(query(0, &both[..1])));
        assert_ne!(scope(query(0, &both)), query(0, &both).scope(AccountId::from_bits(2)));
    }

    #[test]
    fn what_is_not_known_may_be_there() {
        let newest = NewestEvents::events_before(9);
        assert_eq!(
            (newest.from_events(EventTypes::all_types()), newest.from_events(EventTypes::NONE)),
            (9, 0)
        );
    }
}
