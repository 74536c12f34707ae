//! Tags of the document.

use poem_openapi::Tags;

/// A tag of the document.
#[derive(Debug, Clone, Copy, Tags)]
pub(crate) enum ApiTag {
    /// Conversations with contacts. Poll the list with `updated_since` and the last `ETag`: a 304 response
    /// costs nothing, and no change is ever missed.
    Conversations,
    /// Operations to send, read and follow messages.
    Messages,
    /// Customers that write to, or receive messages from, a connected number.
    Contacts,
    /// Texts that WhatsApp approves before they may be sent, with or without an open window.
    Templates,
    /// Log of everything that happened to a connected number, in order and without gaps.
    Events,
    /// Events sent to your URL in signed requests, in order per conversation, at least once.
    Webhooks,
    /// Your components that run beside your data: they get events, send messages, assign conversations and
    /// keep state, without an endpoint of your own.
    Plugins,
    /// Resources of the key: the organization, its connected numbers and its users.
    Accounts,
    /// The server itself.
    Server,
    /// Endpoints that WhatsApp calls.
    WhatsApp,
    /// Organizations, keys and connected numbers, for the operator of the server. Requires the operator's
    /// token, never an API key.
    Operator,
}
