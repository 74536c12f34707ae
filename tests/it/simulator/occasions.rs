//! What WhatsApp sends besides messages and statuses: in the traffic, and as a script says.

use std::collections::BTreeSet;

use kabar::simulator::{FailureRule, RuleVerdict, SimulatorScript};
use kabar_core::domain::identity::Party;
use kabar_core::domain::inbound::{InboundFact, InboundMessage, ItemOwner};
use kabar_core::domain::message::{Direction, MessageKind};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::status::MessageStatus::{Delivered, Played, Read, Sent};
use serde_json::json;

use super::{ID, Stage, stage, text_to};

/// What a message is, beyond its type.
fn marks(message: &InboundMessage) -> Vec<&'static str> {
    let party = message.owner.party();
    let marks = [
        ("group", message.owner.group_id().is_some()),
        ("numberless", party.phone.is_none() && party.wa_id.is_none()),
        ("username", party.username.is_some()),
        ("user id", party.user_id.is_some()),
        ("ad", message.referral.is_some()),
        ("forwarded", message.context.as_ref().is_some_and(|context| context.forwarded)),
        ("echo", message.source == MessageSource::App && message.direction == Direction::Outbound),
        ("agent", message.source == MessageSource::Agent),
        ("standby", message.standby),
        ("history", message.source == MessageSource::History),
        ("reaction", message.reaction.as_ref().is_some_and(|reaction| reaction.emoji.is_some())),
        ("reaction removed", message.reaction.as_ref().is_some_and(|reaction| reaction.emoji.is_none())),
        ("identity", message.identity_change.is_some()),
        ("order", message.kind == MessageKind::Order),
        ("welcome", message.kind == MessageKind::RequestWelcome),
        ("unsupported", message.kind == MessageKind::Unsupported),
    ];
    marks.into_iter().filter_map(|(mark, has)| has.then_some(mark)).collect()
}

/// The kinds of what came among so many items of varied traffic.
async fn kinds_of_traffic(items: usize) -> BTreeSet<String> {
    let mut stage = stage(|options| {
        (options.seed, options.traffic_per_minute, options.occasion_percent) = (3, 60_000, 80);
    })
    .await;
    let mut kinds = BTreeSet::new();
    for _ in 0..items {
        match stage.item().await.fact {
            InboundFact::Message(message) => kinds.extend(marks(&message).into_iter().map(str::to_owned)),
            InboundFact::Edit(_) => drop(kinds.insert("edit".to_owned())),
            InboundFact::Revoke(_) => drop(kinds.insert("revoke".to_owned())),
            InboundFact::Call(call) if call.missed => drop(kinds.insert("missed call".to_owned())),
            InboundFact::Call(_) => drop(kinds.insert("call".to_owned())),
            InboundFact::Preference(_) => drop(kinds.insert("preference".to_owned())),
            InboundFact::Person(_) => drop(kinds.insert("person".to_owned())),
            InboundFact::Account(_) => drop(kinds.insert("account".to_owned())),
            InboundFact::Template(_) => drop(kinds.insert("template".to_owned())),
            InboundFact::Field(notice) => drop(kinds.insert(notice.field.to_string())),
            InboundFact::Status(_) | InboundFact::RawOnly => {}
        }
    }
    kinds
}

#[tokio::test]
async fn varied_traffic_has_something_of_everything() {
    let kinds = kinds_of_traffic(1500).await;
    for wanted in [
        "group",
        "numberless",
        "username",
        "user id",
        "ad",
        "forwarded",
        "echo",
        "agent",
        "standby",
        "history",
        "reaction",
        "reaction removed",
        "identity",
        "order",
        "welcome",
        "edit",
        "revoke",
        "missed call",
        "call",
        "preference",
        "person",
        "account",
        "template",
        "account_update",
        "phone_number_quality_update",
        "phone_number_name_update",
        "message_template_status_update",
        "message_template_quality_update",
        "template_category_update",
        "user_preferences",
    ] {
        assert!(kinds.contains(wanted), "{wanted} is not among {kinds:?}");
    }
    assert!(!kinds.contains("unsupported"), "every type is one that the server knows");
}

async fn playing(text: &str) -> Stage {
    let script = SimulatorScript::parse_text(text, ".".as_ref()).unwrap();
    stage(|options| options.script = Some(script)).await
}

#[tokio::test]
async fn a_script_writes_as_a_person_without_a_number() {
    let mut stage = playing(
        "[[step]]\n[[step.write]]\nuser_id = \"ID.7\"\nusername = \"rina.w\"\nname = \"Rina\"\n\
         message = { type = \"text\", text = { body = \"hi\" } }\n\
         [[step.write]]\nfrom = \"447700900123\"\n\
         message = { type = \"text\", group_id = \"Y2FwaV9ncm91cA\", text = { body = \"hello\" } }",
    )
    .await;
    let mut messages = [stage.message().await, stage.message().await];
    messages.sort_by_key(|message| message.owner.group_id().is_some());
    let ItemOwner::Person(Party { phone: None, wa_id: None, user_id, username, name, .. }) =
        &messages[0].owner
    else {
        panic!("{:?}", messages[0])
    };
    assert_eq!(user_id.as_ref().unwrap().as_str(), "ID.7");
    assert_eq!((username.as_deref(), name.as_deref()), (Some("rina.w"), Some("Rina")));
    assert_eq!(messages[1].owner.group_id().unwrap().as_str(), "Y2FwaV9ncm91cA");
}

#[tokio::test]
async fn a_script_sends_values_of_any_field() {
    let mut stage = playing(
        "[[step]]\n[[step.change]]\nfield = \"account_update\"\n\
         value = { event = \"DISABLED_UPDATE\", ban_info = { waba_ban_state = \"DISABLE\" } }\n\
         [[step.change]]\nfield = \"smb_message_echoes\"\n[step.change.value]\n\
         message_echoes = [{ from = \"12025550100\", to = \"447700900123\", id = \"wamid.1\", \
         type = \"text\", text = { body = \"hi\" } }]",
    )
    .await;
    let InboundFact::Account(notice) = stage.item().await.fact else { panic!() };
    assert!(notice.refusal.is_some());
    assert!(
        matches!(stage.item().await.fact, InboundFact::Field(notice) if &*notice.field == "account_update")
    );
    let echo = stage.message().await;
    assert_eq!((echo.direction, echo.source), (Direction::Outbound, MessageSource::App));
}

#[tokio::test]
async fn a_held_send_says_so_and_has_no_status_until_it_is_released() {
    let mut stage = stage(|options| {
        let held = |release_after| RuleVerdict::Held { release_after };
        let once = |verdict| FailureRule { times: Some(1), ..FailureRule::always(verdict) };
        options.rules = vec![once(held(None)), once(held(Some(std::time::Duration::ZERO)))];
    })
    .await;
    for _ in 0..2 {
        let (status, answer) = stage.send("12025550141").await;
        assert_eq!(status, 200);
        assert_eq!(answer["messages"][0]["message_status"], "held_for_quality_assessment");
    }
    let sends = stage.simulator.sends();
    for expected in [Sent, Delivered, Read] {
        let report = stage.status().await;
        assert_eq!((report.status, &*report.wamid), (expected, sends[1].wamid.as_str()));
    }
}

#[tokio::test]
async fn sends_reach_groups_and_voice_messages_are_played() {
    let mut stage = stage(|_| {}).await;
    let mut body = text_to("Y2FwaV9ncm91cA");
    body["recipient_type"] = json!("group");
    let (status, answer) = stage.post(ID, "t0ken", &body).await.unwrap();
    assert_eq!((status, &answer["contacts"]), (200, &json!([{"input": "Y2FwaV9ncm91cA"}])));
    for expected in [Sent, Delivered, Read] {
        let report = stage.status().await;
        assert_eq!((report.status, report.recipient), (expected, None), "a group is no person");
    }
    let voice = json!({"messaging_product": "whatsapp", "recipient": "ID.7", "type": "audio",
        "audio": {"id": "998877", "voice": true}});
    let (status, answer) = stage.post(ID, "t0ken", &voice).await.unwrap();
    assert_eq!((status, &answer["contacts"]), (200, &json!([{"input": "ID.7", "user_id": "ID.7"}])));
    for expected in [Sent, Delivered, Read, Played] {
        let report = stage.status().await;
        assert_eq!((report.status, report.recipient.unwrap().user_id.unwrap().as_str()), (expected, "ID.7"));
    }
}
