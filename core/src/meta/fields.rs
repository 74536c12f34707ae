//! Values of the fields that tell about accounts, people and calls rather than messages.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::content::{bound_text, one_line};
use super::item_fields::{ReadItem, SkipReason, read_time, read_wamid};
use super::parties::{self, CardedParty, ContactCards};
use crate::domain::identity::Party;
use crate::domain::inbound::{
    AccountNotice, CallReport, InboundFact, MarketingPreference, PersonNotice, RawRole,
};
use crate::domain::message::Direction;
use crate::domain::time::Timestamp;

/// Words of Meta's are short; longer ones are not kept.
const WORD_CHARS_MAX: usize = 128;

/// Reads a word or a number of Meta's.
pub(super) fn read_word(value: Option<&Value>) -> Option<Arc<str>> {
    let text = match value? {
        Value::String(text) => one_line(text),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then(|| bound_text(&text, WORD_CHARS_MAX).into())
}

/// Reads an event of a call.
pub(super) fn read_call(
    call: Map<String, Value>,
    cards: &ContactCards,
    received_at: Timestamp,
) -> Result<ReadItem, SkipReason> {
    let call = Value::Object(call);
    let call_id = read_wamid(call.get("id")).ok_or(SkipReason::NoWamid)?;
    let by_business = call.get("direction").and_then(Value::as_str) == Some("BUSINESS_INITIATED");
    let (direction, party) = if by_business {
        (Direction::Outbound, parties::read_addressee(&call))
    } else {
        (Direction::Inbound, parties::read_author(&call))
    };
    let ended = call.get("event").and_then(Value::as_str) == Some("terminate");
    let seconds =
        call.get("duration").and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let answered = seconds.is_some_and(|seconds| seconds > 0);
    let content = match (ended, seconds.filter(|_| answered)) {
        (true, Some(seconds)) => format!("[call, {seconds} s]"),
        (true, None) if by_business => "[unanswered call]".to_owned(),
        (true, None) => "[missed call]".to_owned(),
        (false, _) => "[call]".to_owned(),
    };
    let CardedParty { party, card } = cards.find_card(party, 1);
    let report = CallReport {
        call_id: call_id.clone(),
        party,
        direction,
        at: read_time(call.get("timestamp"), received_at),
        ended,
        missed: ended && !answered && !by_business,
        content: content.into(),
        payload: call.to_string().into(),
    };
    Ok(ReadItem { fact: InboundFact::Call(Box::new(report)), wamid: call_id, role: RawRole::Change, card })
}

/// Reads a choice about marketing messages; `None` for another preference.
pub(super) fn read_preference(
    preference: &Value,
    cards: &ContactCards,
    received_at: Timestamp,
) -> Option<InboundFact> {
    if preference.get("category").and_then(Value::as_str)? != "marketing_messages" {
        return None;
    }
    let at = read_time(preference.get("timestamp"), received_at);
    let opted_out_at = match preference.get("value").and_then(Value::as_str)? {
        "stop" => Some(at),
        "resume" => None,
        _ => return None,
    };
    let mut party = parties::read_ids(preference, "wa_id", "user_id", "parent_user_id");
    party.wa_id = party.phone.take();
    let party = cards.complete_party(party, 1);
    (!party.is_anonymous()).then_some(InboundFact::Preference(MarketingPreference {
        party,
        opted_out_at,
        at,
    }))
}

/// Reads an entry of the address book of the business's phone.
pub(super) fn read_book_entry(entry: &Value, received_at: Timestamp) -> Option<InboundFact> {
    let contact = entry.get("contact")?;
    let removed = entry.get("action").and_then(Value::as_str) == Some("remove");
    let mut party = parties::read_ids(contact, "phone_number", "user_id", "parent_user_id");
    party.username = parties::read_username(contact.get("username"));
    if removed || party.is_anonymous() {
        return None;
    }
    let book_name = parties::read_name(contact.get("full_name"))
        .or_else(|| parties::read_name(contact.get("first_name")));
    let at = read_time(entry.pointer("/metadata/timestamp"), received_at);
    Some(InboundFact::Person(PersonNotice { party, before: None, book_name, creates: true, at }))
}

/// Reads a notice of the field `user_id_update`, which Meta sent before system messages told the same.
pub(super) fn read_user_id_update(update: &Value, received_at: Timestamp) -> Option<InboundFact> {
    let pair = |name: &str| {
        let ids = update.get(name)?;
        let before = parties::read_ids(ids, "", "previous", "");
        let after = parties::read_ids(ids, "", "current", "");
        Some((before, after))
    };
    let mut before = Party::default();
    let mut after = parties::read_ids(update, "wa_id", "", "");
    after.wa_id = after.phone.take();
    for (old, new) in ["user_id", "parent_user_id"].into_iter().filter_map(pair) {
        before.complete_from(&old);
        after.complete_from(&new);
    }
    let at = read_time(update.get("timestamp"), received_at);
    let known = !before.is_anonymous() && !after.is_anonymous();
    known.then_some(InboundFact::Person(PersonNotice {
        party: after,
        before: Some(before),
        book_name: None,
        creates: false,
        at,
    }))
}

/// Reads what a field tells about the account itself; `None` when it tells nothing that is shown.
pub(super) fn read_account_notice(field: &str, value: &Value) -> Option<InboundFact> {
    let mut notice = AccountNotice::default();
    match field {
        "account_update" => {
            let state = value.pointer("/ban_info/waba_ban_state").and_then(Value::as_str);
            let banned = state.is_some_and(|state| state != "REINSTATE" && state != "SCHEDULE_FOR_DISABLE");
            notice.refusal = banned.then(|| "WhatsApp has banned the business account".into());
        }
        "phone_number_quality_update" => {
            notice.profile.messaging_limit_tier = read_limit(value);
            // It does not say what the rating is.
            notice.asks_profile = true;
        }
        "business_capability_update" => notice.profile.messaging_limit_tier = read_limit(value),
        "phone_number_name_update" => {
            let decision = read_word(value.get("decision"));
            if decision.as_deref() == Some("APPROVED") {
                notice.profile.verified_name = read_word(value.get("requested_verified_name"));
            }
            notice.profile.name_status = decision;
        }
        _ => return None,
    }
    (notice != AccountNotice::default()).then_some(InboundFact::Account(notice))
}

/// Reads the limit of conversations a day, as Meta has named it since February 2026, or before.
fn read_limit(value: &Value) -> Option<Arc<str>> {
    let told = value.get("max_daily_conversations_per_business").or_else(|| value.get("current_limit"))?;
    let limit = told.as_i64().or_else(|| told.as_str()?.parse().ok());
    match limit {
        Some(limit) if limit < 0 => Some("TIER_UNLIMITED".into()),
        Some(limit) if limit > 0 && limit % 1000 == 0 => Some(format!("TIER_{}K", limit / 1000).into()),
        Some(limit) => Some(format!("TIER_{limit}").into()),
        None => read_word(Some(told)),
    }
}
