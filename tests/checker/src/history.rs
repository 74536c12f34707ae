//! The history of a run: one entry per operation, answer, outside call and fault, as JSON lines.
//!
//! Invariants: all instants are microseconds of one monotonic clock of the checker, counted from the start of the
//! run. Rows and bodies are written once, when their digest is first seen, before the entry that names them.

mod outside;

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use outside::{Delivery, Fault, Final, GraphCall, InboundItem, KeyUse, Register, Replica};

/// Microseconds since the start of the run.
pub type Micros = u64;
/// A digest of bytes, made by the recorder.
pub type Digest = u64;

/// One line of a history.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "snake_case")]
pub enum Entry {
    /// What was run; the first line.
    Run(RunInfo),
    /// A version of a row, the first time its bytes are seen.
    Row(Row),
    /// The rows of an answer, the first time its bytes are seen.
    Body(Body),
    /// A GET of a list or of a single row.
    Poll(Poll),
    /// A request that changes something.
    Write(Write),
    /// A version of an event, the first time its bytes are seen.
    Event(Event),
    /// A part of the event log, read by a GET or a stream.
    Log(LogPart),
    /// A call at the stand-in for the Graph API.
    Call(GraphCall),
    /// A webhook of WhatsApp, posted to a node.
    Inbound(InboundItem),
    /// A request at the receiver of a webhook subscription.
    Delivery(Delivery),
    /// A request with a key that is going to be revoked.
    KeyUse(KeyUse),
    /// A read of a register that has no row version: what an operator or owner wrote.
    Register(Register),
    /// A replica that a delta client holds when all is quiet.
    Replica(Replica),
    /// The whole of a list when all is quiet, by any node.
    Final(Final),
    /// A fault, written when it ends.
    Fault(Fault),
    /// When the last fault had ended and clients stopped writing.
    Quiet {
        /// The instant.
        at: Micros,
    },
}

/// What was run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunInfo {
    /// The seed of clients and faults.
    pub seed: u64,
    /// Processes of kabar.
    pub nodes: usize,
    /// `postgres` or `sqlite`.
    pub store: String,
    /// The cluster's lease.
    pub lease: Micros,
    /// `whatsapp.settle_seconds`.
    pub settle: Micros,
    /// Milliseconds since 1970 at instant 0.
    pub wall_ms: i64,
    /// The command that repeats it.
    pub command: String,
}

/// A version of a conversation, contact or message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Digest of its bytes.
    pub d: Digest,
    /// The account's `phone_number_id`.
    pub a: String,
    /// Its id.
    pub id: String,
    /// `updated_at` in milliseconds since 1970: the version.
    pub at: i64,
    /// What the checks look at.
    pub f: Fields,
}

/// The members of a row that checks look at; absent ones are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fields {
    /// The contact's name, in contacts and conversations.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `status`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The text of a message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// `direction`, followed by the message's `type`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub direction: String,
    /// WhatsApp's id of a message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wamid: String,
    /// The id of the contact.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub contact: String,
    /// The id of the conversation of a message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub conversation: String,
    /// `unread_count` of a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<i64>,
}

/// The rows of an answer, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Body {
    /// Digest of the bytes of `data`.
    pub d: Digest,
    /// The account.
    pub a: String,
    /// Digests of the rows.
    pub rows: Vec<Digest>,
    /// `has_more`.
    pub more: bool,
}

/// A GET.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Poll {
    /// The node that was asked.
    pub n: usize,
    /// The account.
    pub a: String,
    /// The path below the account, with its query; `conversations?limit=100`.
    pub q: String,
    /// Start.
    pub s: Micros,
    /// End.
    pub e: Micros,
    /// Status code; 0: no answer.
    pub st: u16,
    /// The tag of the answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// The body: the one that came, or at a 304 the one that its tag stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Digest>,
    /// Seconds that were waited for (`Prefer: wait`); 0 without.
    #[serde(skip_serializing_if = "is_zero")]
    pub w: u32,
    /// The instant of `updated_since` in milliseconds; 0 without.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub since: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero_i64(value: &i64) -> bool {
    *value == 0
}

/// A request that changes something.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Write {
    /// The node that was asked.
    pub n: usize,
    /// The account, or empty.
    pub a: String,
    /// What it is: `patch_conversation`, `patch_contact`, `create_contact`, `send`, `mark_read`, `replay`,
    /// `patch_subscription`, `revoke_key`, `upload`.
    pub op: String,
    /// What it concerns: an id, a number, a register.
    pub on: String,
    /// The value that it writes: a name, a text, a wamid.
    pub v: String,
    /// Start.
    pub s: Micros,
    /// End.
    pub e: Micros,
    /// Status code; 0: no answer, so the outcome is unknown.
    pub st: u16,
    /// `error.code` of a refusal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The row that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<Digest>,
    /// The id of the row that was answered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The `Idempotency-Key`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
}

impl Write {
    /// Whether it was acknowledged.
    pub const fn is_acknowledged(&self) -> bool {
        self.st >= 200 && self.st < 300
    }

    /// Whether it may have happened: no answer, or an error of the server.
    pub const fn is_unknown(&self) -> bool {
        self.st == 0 || self.st >= 500
    }
}

/// An event of an account's log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Event {
    /// The account.
    pub a: String,
    /// Its number.
    pub seq: i64,
    /// Digest of its bytes.
    pub d: Digest,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The contact that it is about.
    pub contact: String,
    /// The id of the row that it tells of.
    pub row: String,
    /// The version of that row.
    pub at: i64,
}

/// A part of a log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LogPart {
    /// The node that was asked.
    pub n: usize,
    /// The account.
    pub a: String,
    /// Read by a stream, which has no end to tell of.
    pub stream: bool,
    /// `after`.
    pub after: i64,
    /// Start.
    pub s: Micros,
    /// End.
    pub e: Micros,
    /// The numbers of the first and last event, 0 without.
    pub first: i64,
    /// See `first`.
    pub last: i64,
    /// Events in it.
    pub count: i64,
    /// Whether each number is one more than the one before.
    pub ordered: bool,
    /// `last_sequence`.
    pub seen: i64,
    /// `has_more`.
    pub more: bool,
    /// Status code; 0: no answer.
    pub st: u16,
}

/// Reads a history.
pub fn read_history(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let file = BufReader::with_capacity(1 << 20, std::fs::File::open(path)?);
    let mut entries = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let line = line?;
        let entry = serde_json::from_str(&line)
            .map_err(|error| anyhow::anyhow!("line {} of {}: {error}", number + 1, path.display()))?;
        entries.push(entry);
    }
    Ok(entries)
}
