//! Meta's wire format: webhooks in, sends out, and the signatures on both.
//!
//! Invariant: Meta's words (`entry`, `changes`, `wa_id`) do not leave this module; it returns the domain's
//! own types. It knows neither the store nor the cache, and keeps no state.

pub mod errors;
mod fields;
pub mod graph;
mod graph_answer;
mod item_fields;
mod items;
pub mod named_numbers;
mod parties;
mod raw_members;
pub mod send_deadline;
pub mod signature;
mod status_report;
pub mod stored_webhook;
mod template_fields;
pub mod translate;
pub mod webhook_form;

mod content;

pub use raw_members::MalformedWebhook;

/// WhatsApp's message ids are below 200 bytes today. A longer text than this is not a message id.
const WAMID_BYTES_MAX: usize = 512;
