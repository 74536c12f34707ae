//! Record of the calls that the simulator accepted, for tests.
//!
//! Invariant: bounded; the oldest entries are dropped first. The simulation itself reads nothing of it.

use std::collections::{HashMap, VecDeque};

use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::address::Address;
use kabar_core::domain::time::Timestamp;
use serde_json::Value;

const ENTRIES_MAX: usize = 10_000;
const RECIPIENTS_MAX: usize = 100_000;

/// A send that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedSend {
    /// The sending business number.
    pub phone_number_id: PhoneNumberId,
    /// The recipient.
    pub to: Address,
    /// Meta's `type`.
    pub kind: String,
    /// The whole request.
    pub body: Value,
    /// `biz_opaque_callback_data`.
    pub opaque: Option<String>,
    /// Id that the message was given.
    pub wamid: String,
    /// Time of the send.
    pub at: Timestamp,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimulatorCounts {
    /// Calls (sends and read receipts) that were read to their end; counted before they are handled.
    pub received: u64,
    /// Sends accepted.
    pub accepted: u64,
    /// Responses handed to the connection, successes and errors; one that breaks off does not count.
    pub answered: u64,
    /// Calls answered with an error.
    pub refused: u64,
    /// Read receipts taken.
    pub receipts: u64,
    /// Looks at a number's own properties that were answered, errors included.
    pub profiles: u64,
    /// Calls about templates that were answered, errors included.
    pub template_calls: u64,
    /// Messages that customers wrote.
    pub inbound: u64,
    /// Steps of the script that were taken.
    pub steps: u64,
    /// Webhook items that were answered with 200; a webhook that the script posts as it is counts as
    /// one.
    pub delivered: u64,
    /// Webhook posts that failed.
    pub failed_posts: u64,
    /// Webhook items given up, or refused because a lane was full.
    pub given_up: u64,
}

#[derive(Debug, Default)]
pub(super) struct SendLog {
    sends: VecDeque<RecordedSend>,
    receipts: VecDeque<String>,
    by_recipient: HashMap<Address, u64>,
}

impl SendLog {
    pub(super) fn record_send(&mut self, send: RecordedSend) {
        if self.by_recipient.len() < RECIPIENTS_MAX || self.by_recipient.contains_key(&send.to) {
            *self.by_recipient.entry(send.to.clone()).or_default() += 1;
        }
        push_bounded(&mut self.sends, send);
    }

    pub(super) fn record_receipt(&mut self, wamid: String) {
        push_bounded(&mut self.receipts, wamid);
    }

    pub(super) fn sends(&self) -> Vec<RecordedSend> {
        self.sends.iter().cloned().collect()
    }

    pub(super) fn receipts(&self) -> Vec<String> {
        self.receipts.iter().cloned().collect()
    }

    pub(super) fn sends_to(&self, recipient: &Address) -> u64 {
        self.by_recipient.get(recipient).copied().unwrap_or_default()
    }
}

fn push_bounded<T>(entries: &mut VecDeque<T>, entry: T) {
    if entries.len() == ENTRIES_MAX {
        entries.pop_front();
    }
    entries.push_back(entry);
}
