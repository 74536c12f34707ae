//! A webhook made of items that were kept as they came, so that they are read again as they were at first.
//!
//! Invariants: pure. Items are put in byte for byte. Values that were told whole make no second event.

use serde_json::json;

use super::raw_members::MalformedWebhook;
use super::translate::{InboundWebhook, translate_webhook};
use crate::domain::account::Account;
use crate::domain::inbound::{InboundFact, InboundItem};
use crate::domain::stored_item::{ItemList, StoredItem};
use crate::domain::time::Timestamp;

/// Items that were read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RereadItems {
    /// For the account, in the order in which they were given.
    pub items: Vec<InboundItem>,
    /// Number of those that cannot be read.
    pub skipped: usize,
}

/// Reads items of an account again.
///
/// # Errors
/// [`MalformedWebhook`] when they do not make JSON, which none that was kept does.
pub fn reread_items(
    account: &Account,
    items: &[StoredItem],
    now: Timestamp,
) -> Result<RereadItems, MalformedWebhook> {
    // A value that is no object teaches nothing besides its event.
    let is_readable =
        |item: &&StoredItem| !matches!(item.list, ItemList::Field(_)) || item.body.starts_with('{');
    let items = items.iter().filter(is_readable);
    let changes: Vec<String> = items.map(|item| change_of(account, item)).collect();
    // Values that name no number are told by an entry; this one is the account's in any case.
    let body = format!(r#"{{"entry":[{{"id":"1","changes":[{}]}}]}}"#, changes.join(","));
    let InboundWebhook { groups, skipped } = translate_webhook(body.as_bytes(), now)?;
    let items = groups.into_iter().flat_map(|group| group.items);
    // The event of such a value exists, and what it said of the account has had its effect.
    let is_new = |item: &InboundItem| !matches!(item.fact, InboundFact::Field(_) | InboundFact::Account(_));
    Ok(RereadItems { items: items.filter(is_new).collect(), skipped: skipped.len() })
}

/// Builds the change of a webhook with one item.
fn change_of(account: &Account, item: &StoredItem) -> String {
    let metadata = json!({
        "display_phone_number": account.phone.as_digits(), "phone_number_id": account.phone_number_id.as_str(),
    });
    let body = &item.body;
    let (field, members) = match &item.list {
        ItemList::Messages => ("messages", format!(r#""messages":[{body}]"#)),
        ItemList::Statuses => ("messages", format!(r#""statuses":[{body}]"#)),
        ItemList::AppEchoes => ("smb_message_echoes", format!(r#""message_echoes":[{body}]"#)),
        ItemList::History => ("history", format!(r#""history":[{{"threads":[{{"messages":[{body}]}}]}}]"#)),
        ItemList::Standby => ("standby", format!(r#""standby":{{"messages":[{body}]}}"#)),
        ItemList::AgentEchoes => ("standby", format!(r#""standby":{{"message_echoes":[{body}]}}"#)),
        ItemList::Calls => ("calls", format!(r#""calls":[{body}]"#)),
        ItemList::Field(field) => return format!(r#"{{"field":"{field}","value":{body}}}"#),
    };
    format!(r#"{{"field":"{field}","value":{{"metadata":{metadata},{members}}}}}"#)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::account::{AccountProfile, AccountStatus, PhoneNumberId, Secret};
    use crate::domain::message::Direction;
    use crate::domain::message_details::MessageSource;
    use crate::domain::phone::Phone;
    use crate::domain::stored_item::ItemPosition;
    use crate::ids::{AccountId, OrganisationId};

    fn account() -> Account {
        Account {
            id: AccountId::from_bits(1),
            number: 1,
            organisation_id: OrganisationId::from_bits(1),
            phone_number_id: PhoneNumberId::parse("100200300").unwrap(),
            phone: Phone::parse("+12025550100").unwrap(),
            name: None,
            status: AccountStatus::Connected,
            status_reason: None,
            recovery: None,
            profile: AccountProfile::default(),
            access_token: Secret::new("t"),
            app_secret: None,
            messages_per_second: 80,
            sandbox: false,
            created_at: Timestamp::EPOCH,
        }
    }

    fn reread(list: ItemList, body: &str) -> RereadItems {
        let item = StoredItem { position: ItemPosition::default(), list, body: body.into() };
        reread_items(&account(), &[item], Timestamp::from_seconds(1_781_866_800)).unwrap()
    }

    #[test]
    fn items_keep_direction_source_and_bytes() {
        let text = r#"{"from": "62812","to":"62813","id":"wamid.A","timestamp":"1781866700","type":"text","text":{"body":"h\u00e9"}}"#;
        let own = text.replace("62812", "12025550100");
        for (list, body, direction, source, standby) in [
            (ItemList::Messages, text, Direction::Inbound, MessageSource::Inbound, false),
            (ItemList::AppEchoes, text, Direction::Outbound, MessageSource::App, false),
            (ItemList::History, text, Direction::Inbound, MessageSource::History, false),
            (ItemList::History, &*own, Direction::Outbound, MessageSource::History, false),
            (ItemList::Standby, text, Direction::Inbound, MessageSource::Inbound, true),
            (ItemList::AgentEchoes, text, Direction::Outbound, MessageSource::Agent, true),
        ] {
            let RereadItems { items, skipped } = reread(list.clone(), body);
            let [InboundItem { fact: InboundFact::Message(message), raw: Some(raw) }] = &*items else {
                panic!("{list:?}: {items:?}")
            };
            assert_eq!((message.direction, message.source, message.standby), (direction, source, standby));
            assert_eq!((&*raw.body, skipped), (body, 0));
        }
        let status = r#"{"id":"wamid.A","status":"read","timestamp":"1781866700","recipient_id":"62812"}"#;
        assert!(matches!(reread(ItemList::Statuses, status).items[0].fact, InboundFact::Status(_)));
        let call = r#"{"id":"wacid.A","from":"62812","event":"terminate","timestamp":"1781866700"}"#;
        assert!(matches!(reread(ItemList::Calls, call).items[0].fact, InboundFact::Call(_)));
    }

    #[test]
    fn values_that_were_told_make_no_second_event() {
        let ban = r#"{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"}}"#;
        for (field, body, items) in [
            ("account_update", ban, 0),
            ("errors", r#"[{"code":131031}]"#, 0),
            ("flows", "{}", 0),
            (
                "user_preferences",
                r#"{"metadata":{"phone_number_id":"100200300"},"user_preferences":[{"wa_id":"6281255556666","category":
                "marketing_messages","value":"stop","timestamp":"1781866700"}]}"#,
                1,
            ),
        ] {
            assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
            let reread = reread(ItemList::Field(field.into()), body);
            assert_eq!((reread.items.len(), reread.skipped), (items, 0), "{field}");
        }
        let unreadable = reread(ItemList::Messages, "7");
        assert_eq!((unreadable.items.len(), unreadable.skipped), (0, 1));
    }
}
