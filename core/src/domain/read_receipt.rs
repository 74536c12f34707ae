//! Read receipts: what is told to WhatsApp when the business has read messages.

use std::sync::Arc;

/// The request to mark a message as read, and what WhatsApp is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadReceipt {
    /// WhatsApp's id of the message.
    pub wamid: Arc<str>,
    /// Shows the contact that an answer is being written. WhatsApp is told even if the message is read already.
    pub typing: bool,
}
