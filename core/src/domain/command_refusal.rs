//! Reasons for which an account does not carry out a command.

use super::account::AccountStatus;
use super::template::TemplateStatus;
use crate::ids::ContactId;

/// Reason for which a command was not carried out. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefusal {
    /// The contact has not written within 24 hours.
    #[error("the contact has not written within the last 24 hours")]
    OutsideWindow,
    /// The account cannot send.
    #[error("the account is {}", .0.as_str())]
    AccountNotConnected(AccountStatus),
    /// No such conversation in this account.
    #[error("no such conversation")]
    NoConversation,
    /// No such message in this account.
    #[error("no such message")]
    NoMessage,
    /// No such contact in this account.
    #[error("no such contact")]
    NoContact,
    /// The identifier is a contact's already.
    #[error("the identifier is a contact's already")]
    ContactExists(ContactId),
    /// WhatsApp has no read receipts in groups.
    #[error("messages of a group cannot be marked as read")]
    GroupMessage,
    /// The template is known, and WhatsApp would not send it.
    #[error("the template is {}", .0.as_str())]
    TemplateNotApproved(TemplateStatus),
}
