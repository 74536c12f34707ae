//! The document's chapters.

use poem_openapi::Tags;

/// A chapter of the document.
#[derive(Debug, Clone, Copy, Tags)]
pub enum ApiTag {
    /// Threads with contacts. Poll the list with `updated_since` and the last `ETag`: an answer 304
    /// costs nothing, and nothing is ever missed.
    Conversations,
    /// Sending, reading and following messages.
    Messages,
    /// The people that a connected number talks to.
    Contacts,
    /// Everything that happened to a connected number, in order and without gaps.
    Events,
    /// Events brought to an address of yours by signed requests, in order per conversation, at least
    /// once.
    Webhooks,
    /// Components of yours that run beside your data: they get events, and send, assign and keep what they
    /// need, without an endpoint of your own.
    Plugins,
    /// What the key opens: the organization, its connected numbers and its users.
    Accounts,
    /// The server itself.
    Server,
    /// What WhatsApp calls.
    WhatsApp,
    /// Organizations, keys and connected numbers, for whoever runs the server. Takes the operator's
    /// token, never an API key.
    Operator,
}
