//! The JSON in which the store keeps the details and the context of a message.
//!
//! Invariant: members that most messages lack take no space where they are absent. The event log removes
//! `referral` of a message that was taken back by its name here.

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::row::{RowPlace, RowText, instant_millis};
use crate::domain::identity::{GroupId, UserId};
use crate::domain::message_details::{
    GroupSender, MessageContext, MessageDetails, MessageReaction, MessageSource, ReactionSide,
};

/// The column of the details.
const COLUMN: &str = "details";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Reference of a message to another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ContextRow<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "is_false")]
    forwarded: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    frequently_forwarded: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    referred_product: Option<RowText<'a>>,
}

impl<'a> ContextRow<'a> {
    /// Creates the row of a context.
    pub(super) fn from_context(context: &'a MessageContext) -> Self {
        Self {
            message_id: context.message_id.as_deref().map(RowText::Borrowed),
            from: context.from.as_deref().map(RowText::Borrowed),
            forwarded: context.forwarded,
            frequently_forwarded: context.frequently_forwarded,
            referred_product: context.referred_product.as_deref().map(RowText::Borrowed),
        }
    }

    /// Converts the row into a context.
    pub(super) fn into_context(self) -> MessageContext {
        MessageContext {
            message_id: self.message_id.map(Into::into),
            from: self.from.map(Into::into),
            forwarded: self.forwarded,
            frequently_forwarded: self.frequently_forwarded,
            referred_product: self.referred_product.map(Into::into),
        }
    }
}

/// A reaction.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReactionRow<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emoji: Option<RowText<'a>>,
    from: RowText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    participant: Option<RowText<'a>>,
    at: i64,
}

impl<'a> ReactionRow<'a> {
    /// Creates the row of a reaction.
    pub(super) fn from_reaction(reaction: &'a MessageReaction) -> Self {
        Self {
            emoji: reaction.emoji.as_deref().map(RowText::Borrowed),
            from: reaction.from.as_str().into(),
            participant: reaction.participant.as_deref().map(RowText::Borrowed),
            at: reaction.at.millis(),
        }
    }

    /// Converts the row into a reaction; the error names this column.
    pub(super) fn into_reaction(self, at: RowPlace<'_>, column: &str) -> Result<MessageReaction, StoreError> {
        Ok(MessageReaction {
            emoji: self.emoji.map(Into::into),
            from: at.check_value(column, ReactionSide::parse(&self.from))?,
            participant: self.participant.map(Into::into),
            at: at.check_time(column, self.at)?,
        })
    }
}

/// Number, user id and name of a participant.
type SenderRow<'a> = (Option<RowText<'a>>, Option<RowText<'a>>, Option<RowText<'a>>);

/// Details of a message.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct DetailsRow<'a> {
    /// `None` for a message from a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "is_false")]
    standby: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    referral: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pricing: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pricing_at: Option<i64>,
    #[serde(default, skip_serializing_if = "is_false")]
    missed_call: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    placeholder: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_id: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sender: Option<SenderRow<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback_data: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    addressed_user: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edited_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ReactionRow<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_reason: Option<RowText<'a>>,
}

fn sender_row(sender: &GroupSender) -> SenderRow<'_> {
    (
        sender.phone.as_ref().map(|phone| phone.as_str().into()),
        sender.user_id.as_ref().map(|id| id.as_str().into()),
        sender.name.as_deref().map(RowText::Borrowed),
    )
}

fn read_sender(at: RowPlace<'_>, (phone, user_id, name): SenderRow<'_>) -> Result<GroupSender, StoreError> {
    Ok(GroupSender {
        phone: phone.map(|text| at.check_phone(COLUMN, &text)).transpose()?,
        user_id: user_id.map(|text| at.check_value(COLUMN, UserId::parse(&text))).transpose()?,
        name: name.map(Into::into),
    })
}

impl<'a> DetailsRow<'a> {
    /// Creates the row of details.
    pub(super) fn from_details(details: &'a MessageDetails) -> Self {
        let source = (details.source != MessageSource::default()).then(|| details.source.as_str().into());
        Self {
            source,
            standby: details.standby,
            referral: details.referral.as_deref().map(RowText::Borrowed),
            pricing: details.pricing.as_deref().map(RowText::Borrowed),
            pricing_at: instant_millis(details.pricing_at),
            missed_call: details.missed_call,
            placeholder: details.placeholder,
            group_id: details.group_id.as_ref().map(|id| id.as_str().into()),
            sender: details.sender.as_ref().map(sender_row),
            callback_data: details.callback_data.as_deref().map(RowText::Borrowed),
            addressed_user: details.addressed_user.as_ref().map(|id| id.as_str().into()),
            edited_at: instant_millis(details.edited_at),
            revoked_at: instant_millis(details.revoked_at),
            reactions: details.reactions.iter().map(ReactionRow::from_reaction).collect(),
            hold_reason: details.hold_reason.as_deref().map(RowText::Borrowed),
        }
    }

    /// Converts the row into details.
    pub(super) fn into_details(self, at: RowPlace<'_>) -> Result<MessageDetails, StoreError> {
        let source = match self.source {
            Some(word) => at.check_value(COLUMN, MessageSource::parse(&word))?,
            None => MessageSource::default(),
        };
        let user_id = |text: RowText<'_>| at.check_value(COLUMN, UserId::parse(&text));
        let group_id = |text: RowText<'_>| at.check_value(COLUMN, GroupId::parse(&text));
        let reaction = |row: ReactionRow<'_>| row.into_reaction(at, COLUMN);
        Ok(MessageDetails {
            source,
            standby: self.standby,
            referral: self.referral.map(Into::into),
            pricing: self.pricing.map(Into::into),
            pricing_at: at.opt_time(COLUMN, self.pricing_at)?,
            missed_call: self.missed_call,
            placeholder: self.placeholder,
            group_id: self.group_id.map(group_id).transpose()?,
            sender: self.sender.map(|row| read_sender(at, row)).transpose()?,
            callback_data: self.callback_data.map(Into::into),
            addressed_user: self.addressed_user.map(user_id).transpose()?,
            edited_at: at.opt_time(COLUMN, self.edited_at)?,
            revoked_at: at.opt_time(COLUMN, self.revoked_at)?,
            reactions: self.reactions.into_iter().map(reaction).collect::<Result<_, _>>()?,
            hold_reason: self.hold_reason.map(Into::into),
        })
    }
}
