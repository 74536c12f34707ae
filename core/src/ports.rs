//! What the house needs from rooms that it must not know.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::domain::account::Account;
use crate::domain::delivery::Outcome;
use crate::domain::event::Event;
use crate::domain::subscriber::Subscriber;
use crate::ids::DeliveryId;

/// One event on its way to one subscriber.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// To whom, as it stands now.
    pub subscriber: Subscriber,
    /// Whose log the event is from.
    pub account: Arc<Account>,
    /// The event; its id and its sequence are equal on every attempt.
    pub event: Arc<Event>,
    /// Equal on every attempt.
    pub delivery_id: DeliveryId,
    /// From 1.
    pub attempt: u32,
}

/// What became of a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What the courier goes by.
    pub outcome: Outcome,
    /// What the subscriber answered, for show.
    pub status_code: Option<u16>,
    /// Why it failed, for a human; no secret, no body.
    pub error: Option<Arc<str>>,
}

/// Brings an event to a subscriber, once. Order, retries and records are the courier's.
pub trait Sink: Send + Sync {
    /// Makes one attempt, and ends it in bounded time. May be called again with the same parcel: a
    /// record of the first call may have been lost.
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Receipt>;
}

/// How an event looks outside: the same bytes at every attempt, and to whomever it is shown.
pub trait EventForm: Send + Sync {
    /// The event's JSON, on one line.
    fn bytes(&self, account: &Account, event: &Event) -> Bytes;
}

/// The sink of a server that brings nothing: every delivery waits for its next attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closed;

impl Sink for Closed {
    fn deliver(&self, _parcel: Parcel) -> BoxFuture<'_, Receipt> {
        let receipt = Receipt {
            outcome: Outcome::Retry { after: None },
            status_code: None,
            error: Some("this server delivers nothing".into()),
        };
        Box::pin(std::future::ready(receipt))
    }
}
