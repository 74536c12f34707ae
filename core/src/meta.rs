//! Meta's wire format: webhooks in, sends out, and the signatures on both.
//!
//! Invariant: Meta's words (`entry`, `changes`, `wa_id`) do not leave this module; it returns the domain's
//! own types. It knows neither the store nor the cache, and keeps no state.

mod error_report;
pub mod errors;
pub mod graph;
mod graph_answer;
mod item_fields;
pub mod named_numbers;
mod raw_members;
pub mod send_deadline;
pub mod signature;
pub mod translate;

mod content;

pub use raw_members::MalformedWebhook;

/// WhatsApp's message ids are below 200 bytes today. A longer text than this is not a message id.
const WAMID_BYTES_MAX: usize = 512;
