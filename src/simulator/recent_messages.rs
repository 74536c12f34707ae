//! The newest messages with each customer, for edits, revocations and reactions.
//!
//! Invariant: bounded; when there are too many customers, all are forgotten.

use std::collections::HashMap;

use kabar_core::domain::address::Address;
use kabar_core::domain::message::Direction;

const CUSTOMERS_MAX: usize = 10_000;

/// WhatsApp's ids of the newest messages with one customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RecentMessages {
    /// Newest one that the customer wrote.
    pub(super) inbound: Option<String>,
    /// Newest one that the customer got.
    pub(super) outbound: Option<String>,
}

/// The newest messages with every customer.
#[derive(Debug, Default)]
pub(super) struct RecentBook(HashMap<Address, RecentMessages>);

impl RecentBook {
    pub(super) fn note(&mut self, customer: &Address, direction: Direction, wamid: &str) {
        if self.0.len() >= CUSTOMERS_MAX && !self.0.contains_key(customer) {
            self.0.clear();
        }
        let recent = self.0.entry(customer.clone()).or_default();
        let newest = match direction {
            Direction::Inbound => &mut recent.inbound,
            Direction::Outbound => &mut recent.outbound,
        };
        *newest = Some(wamid.to_owned());
    }

    pub(super) fn of(&self, customer: &Address) -> RecentMessages {
        self.0.get(customer).cloned().unwrap_or_default()
    }
}
