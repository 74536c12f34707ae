//! Entries of a history that are no GET, write or log: outside calls, keys, registers, last states, faults.

use serde::{Deserialize, Serialize};

use super::{Digest, Micros};

/// A call at the Graph API.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GraphCall {
    /// The node that called.
    pub n: usize,
    /// The account.
    pub a: String,
    /// `biz_opaque_callback_data`: the message's id; empty for a read receipt.
    pub id: String,
    /// `to`.
    pub to: String,
    /// `type`.
    pub kind: String,
    /// The text.
    pub text: String,
    /// When the whole request was there.
    pub s: Micros,
    /// When it was answered, or given up.
    pub e: Micros,
    /// Whether WhatsApp took it.
    pub taken: bool,
    /// What was answered: `ok`, `silent`, `lost`, or a code.
    pub answer: String,
    /// The wamid it got.
    pub wamid: String,
}

/// A webhook of WhatsApp with one item.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InboundItem {
    /// The node that was asked.
    pub n: usize,
    /// The account.
    pub a: String,
    /// `message`, or the status: `sent`, `delivered`, `read`, `failed`.
    pub what: String,
    /// The wamid.
    pub wamid: String,
    /// The message's id that a status carries.
    pub id: String,
    /// The author's number of a message.
    pub from: String,
    /// The text of a message.
    pub text: String,
    /// Start.
    pub s: Micros,
    /// End.
    pub e: Micros,
    /// Status code; 0: no answer.
    pub st: u16,
}

/// A request at a subscription's receiver.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Delivery {
    /// The node that called.
    pub n: usize,
    /// The subscription, by the name in its path.
    pub sub: String,
    /// `X-Kirim-Event-Id`.
    pub event: String,
    /// `X-Kirim-Delivery-Id`.
    pub delivery: String,
    /// The account.
    pub a: String,
    /// The event's number.
    pub seq: i64,
    /// Digest of the body.
    pub d: Digest,
    /// The contact that it is about.
    pub contact: String,
    /// `X-Kirim-Attempt`.
    pub attempt: i64,
    /// `t` of the signature, Unix seconds.
    pub t: i64,
    /// Whether the signature is right.
    pub signed: bool,
    /// When the whole request was there.
    pub s: Micros,
    /// When it was answered.
    pub e: Micros,
    /// Status code that was answered; 0: none.
    pub st: u16,
}

/// A request with a key that is going to be revoked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KeyUse {
    /// The node that was asked.
    pub n: usize,
    /// The key's id.
    pub key: String,
    /// Start.
    pub s: Micros,
    /// End.
    pub e: Micros,
    /// Status code; 0: no answer.
    pub st: u16,
}

/// A read of a register.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Register {
    /// The node that was asked.
    pub n: usize,
    /// The register's name, as in `Write::on`.
    pub on: String,
    /// What was read.
    pub v: String,
    /// Start.
    pub s: Micros,
    /// End.
    pub e: Micros,
}

/// What a delta client holds in the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Replica {
    /// The client.
    pub c: usize,
    /// The account.
    pub a: String,
    /// Digests of its rows.
    pub rows: Vec<Digest>,
}

/// The whole of a list in the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Final {
    /// The node that was asked.
    pub n: usize,
    /// The account.
    pub a: String,
    /// `conversations`, `contacts`, `messages`.
    pub list: String,
    /// Digests of its rows.
    pub rows: Vec<Digest>,
}

/// A fault.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fault {
    /// Its kind, e.g. `kill` or `cut:node-postgres`.
    pub kind: String,
    /// The node that it hits; `None`: a server that all of them use.
    pub n: Option<usize>,
    /// Start.
    pub s: Micros,
    /// When it ended and what it hit was ready again.
    pub e: Micros,
}
