//! Reading an account's event log: what is asked, what comes back, and what is known without looking.
//!
//! Invariant: a reader is told the number of the last event that was looked at, whether it was
//! wanted or not; who goes on from there misses nothing and meets nothing twice.

use super::event::{Event, EventType, EventTypes};
use super::page::PageLimit;
use crate::ids::AccountId;

/// A part of the log, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventQuery {
    /// Only events of a greater number; 0 is "from the oldest that is kept".
    pub after: i64,
    /// Only these.
    pub types: EventTypes,
    /// Events of the page.
    pub limit: PageLimit,
}

impl EventQuery {
    /// What a cursor of this list is bound to; `after` only says where its first page begins.
    #[must_use]
    pub fn scope(&self, account: AccountId) -> String {
        let words: Vec<&str> = self.types.iter().map(EventType::as_str).collect();
        format!("events/{account}&types={}", words.join(","))
    }
}

/// Some events, and how far they reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// At most the limit, oldest first.
    pub events: Vec<Event>,
    /// Number of the last event that was looked at: where the next page goes on.
    pub last_sequence: i64,
    /// Whether the log goes on behind it. Of events of some types the rest may hold none.
    pub has_more: bool,
}

impl EventPage {
    /// Nothing, up to here.
    #[must_use]
    pub const fn empty_at(last_sequence: i64) -> Self {
        Self { events: Vec::new(), last_sequence, has_more: false }
    }
}

/// What a look into the log finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRead {
    /// The events that were asked for.
    Page(EventPage),
    /// Events behind the position are not kept any more.
    Expired {
        /// The oldest number that is kept.
        oldest: i64,
    },
}

/// For each type the number of its newest event, or a greater one: what lies behind it holds none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestEvents([i64; EventType::ALL.len()]);

impl NewestEvents {
    /// Nothing is known but that the log ends here.
    #[must_use]
    pub const fn events_before(sequence: i64) -> Self {
        Self([sequence; EventType::ALL.len()])
    }

    /// The same after these events, which follow.
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

    /// No event of these types has a greater number; 0 when there are none.
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
