//! Identifiers and details in a sample: what most messages and contacts lack.

use std::sync::Arc;

use kabar_core::domain::address::Address;
use kabar_core::domain::identity::{GroupId, Identity, Party, UserId};
use kabar_core::domain::message_details::{MessageContext, MessageDetails, MessageSource};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;

use super::NotAnEvent;
use super::sample_fields::SampleFields;

const PHONE: &str = "a number in E.164 form";
const USER_ID: &str = "two capital letters, a dot and an id";

/// Reads one end of a message; a group is named by the message's `group_id`.
pub(super) fn read_address(
    message: &SampleFields<'_>,
    name: &str,
    details: &MessageDetails,
) -> Result<Option<Address>, NotAnEvent> {
    let group = |text: &str| details.group_id.clone().filter(|id| id.as_str() == text).map(Address::Group);
    message.read_given(name, "a number in E.164 form, a user id or the group's id", |text| {
        let number = Phone::parse(text).map(Address::Phone);
        number.or_else(|| UserId::parse(text).map(Address::User)).or_else(|| group(text))
    })
}

/// Reads the identifiers of a contact; `base` holds where none is given.
pub(super) fn read_identity(
    contact: &SampleFields<'_>,
    base: &Arc<Identity>,
) -> Result<Arc<Identity>, NotAnEvent> {
    let mut party = Party {
        phone: contact.read_given("phone_number", PHONE, Phone::parse)?,
        username: contact.text("username")?,
        ..Party::default()
    };
    if let Some(id) = contact.read_given("user_id", USER_ID, UserId::parse)? {
        party.state_user_id(id);
    }
    if party.is_anonymous() && party.username.is_none() {
        return Ok(base.clone());
    }
    let mut identity = if party.is_anonymous() { Identity::clone(base) } else { Identity::default() };
    identity.learn_party(&party, Timestamp::EPOCH);
    Ok(Arc::new(identity))
}

/// Reads what a message refers to.
pub(super) fn read_context(message: &SampleFields<'_>) -> Result<Option<MessageContext>, NotAnEvent> {
    let own = message.read_object("context")?;
    let context = MessageContext {
        message_id: own.text("message_id")?,
        from: own.text("from")?,
        forwarded: own.read_bool("forwarded")?.unwrap_or_default(),
        frequently_forwarded: own.read_bool("frequently_forwarded")?.unwrap_or_default(),
        referred_product: own.read_json("referred_product"),
    };
    Ok((context != MessageContext::default()).then_some(context))
}

/// Reads details of a message.
pub(super) fn read_details(
    message: &SampleFields<'_>,
    base: &MessageDetails,
) -> Result<MessageDetails, NotAnEvent> {
    let wanted = "api, app, agent, hook, history or inbound";
    Ok(MessageDetails {
        source: message.read_given("source", wanted, MessageSource::parse)?.unwrap_or(base.source),
        standby: message.read_bool("standby")?.unwrap_or(base.standby),
        referral: message.read_json("referral").or_else(|| base.referral.clone()),
        pricing: message.read_json("pricing").or_else(|| base.pricing.clone()),
        group_id: message
            .read_given("group_id", "an id of a group", GroupId::parse)?
            .or_else(|| base.group_id.clone()),
        callback_data: message.text("callback_data")?.or_else(|| base.callback_data.clone()),
        edited_at: message.read_instant("edited_at")?.or(base.edited_at),
        revoked_at: message.read_instant("revoked_at")?.or(base.revoked_at),
        hold_reason: message.text("hold_reason")?.or_else(|| base.hold_reason.clone()),
        ..base.clone()
    })
}
