//! Events in Meta's form: what came, what is known, and what is not shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::account::{AccountProfile, AccountStatus, PhoneNumberId, Secret};
use crate::domain::address::Address;
use crate::domain::contact::NameOrigin;
use crate::domain::identity::ContactKind;
use crate::domain::identity::{Identity, Party, UserId};
use crate::domain::message::MessageError;
use crate::domain::message_details::MessageDetails;
use crate::domain::phone::Phone;
use crate::domain::status::StatusHistory;
use crate::ids::{AccountId, ContactId, ConversationId, MessageId, OrganisationId};

const AT: Timestamp = Timestamp::from_seconds(1_790_000_000);
const DELIVERY: DeliveryId = DeliveryId::from_bits(7);

fn account() -> Account {
    Account {
        id: AccountId::from_bits(1),
        number: 1,
        organisation_id: OrganisationId::from_bits(1),
        phone_number_id: PhoneNumberId::parse("106540352242922").unwrap(),
        phone: Phone::parse("+14155550100").unwrap(),
        name: None,
        status: AccountStatus::Connected,
        status_reason: None,
        profile: AccountProfile { waba_id: Some("900800700600".into()), ..AccountProfile::default() },
        recovery: None,
        access_token: Secret::new("t"),
        app_secret: None,
        messages_per_second: 80,
        sandbox: false,
        created_at: AT,
    }
}

fn party() -> Party {
    Party {
        phone: Phone::parse("+5511987654321"),
        wa_id: Phone::parse("551187654321"),
        user_id: UserId::parse("BR.77"),
        ..Party::default()
    }
}

fn contact() -> Contact {
    let mut identity = Identity::default();
    identity.learn_party(&party(), AT);
    Contact {
        id: ContactId::from_bits(3),
        kind: ContactKind::Person,
        identity: Arc::new(identity),
        name: Some("Ana".into()),
        name_origin: NameOrigin::Client,
        email: None,
        metadata: "{}".into(),
        marketing_opted_out_at: None,
        merged_into: None,
        created_at: AT,
        updated_at: AT,
    }
}

fn message(direction: Direction, reports: &[(MessageStatus, bool)]) -> Message {
    let (own, theirs) = (Address::Phone(account().phone), Address::Phone(party().phone.unwrap()));
    let (from, to) = if direction == Direction::Inbound { (theirs, own) } else { (own, theirs) };
    let mut history = StatusHistory::default();
    for (status, reported) in reports {
        if *reported {
            history.keep_reported(*status, AT)
        } else {
            history.keep_own(*status, AT)
        };
    }
    Message {
        id: MessageId::from_bits(5),
        direction,
        status: reports.last().map_or(MessageStatus::Pending, |(status, _)| status.as_current()),
        kind: MessageKind::Text,
        conversation_id: ConversationId::from_bits(4),
        contact_id: ContactId::from_bits(3),
        from,
        to,
        wamid: Some("wamid.A1==".into()),
        content: "hi".into(),
        payload: r#"{"body":"hi"}"#.into(),
        context: None,
        details: MessageDetails::default(),
        error: None,
        history,
        attempts: 0,
        next_attempt_at: None,
        created_at: AT,
        updated_at: AT,
    }
}

fn received() -> Message {
    message(Direction::Inbound, &[(MessageStatus::Received, true)])
}

fn moved(message: Message) -> EventKind {
    EventKind::MessageStatus { message, previous: MessageStatus::Sent, occurred_at: AT }
}

fn raw(role: RawRole, body: &str, card: Option<&str>) -> RawItem {
    let (wamid_key, body, card) = (wamid_key("wamid.A1=="), body.into(), card.map(Arc::from));
    RawItem { wamid_key, role, body, card, digest: [0; 16] }
}

fn item(kind: &EventKind) -> MetaItem<'_> {
    match MetaForm::of_event(kind) {
        MetaForm::Item(item) => item,
        other @ (MetaForm::Hidden | MetaForm::Other) => panic!("{other:?}"),
    }
}

fn render(kind: &EventKind, kept: &[RawItem]) -> (String, Value) {
    let (account, contact, item) = (account(), contact(), item(kind));
    let facts = FormFacts {
        account: &account,
        contact: Some(&contact),
        raw: item.find_raw(kept),
        delivery_id: DELIVERY,
        public_url: Some("https://kabar.example.com"),
    };
    let body = item.render(&facts);
    let value = serde_json::from_str(&body).unwrap();
    (body, value)
}

fn value_of(body: &Value) -> &Value {
    body.pointer("/entry/0/changes/0/value").unwrap()
}

#[test]
fn a_message_is_shown_as_it_came_with_its_own_card() {
    let came = r#"{ "from":"551187654321", "id":"wamid.A1==","timestamp":"1790000000","text":{"body":"h\u00e9"},"n":1.50,"type":"text"}"#;
    let card = r#"{"profile":{"name":"Ana M."},"wa_id":"551187654321"}"#;
    let kept = [raw(RawRole::Change, "{}", None), raw(RawRole::Message, came, Some(card))];
    let (body, value) = render(&EventKind::MessageReceived(received()), &kept);
    assert!(body.contains(came) && body.contains(card), "{body}");
    assert_eq!(value["object"], "whatsapp_business_account");
    assert_eq!(value["entry"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&value["entry"][0]["id"], &value["entry"][0]["changes"][0]["field"]),
        (&json!("900800700600"), &json!("messages"))
    );
    let inner = value_of(&value);
    assert_eq!(
        inner["metadata"],
        json!({"display_phone_number": "14155550100", "phone_number_id": "106540352242922"})
    );
    assert_eq!((inner["contacts"].as_array().unwrap().len(), inner.get("statuses")), (1, None));
    assert_eq!(
        value["kirim"],
        json!({
            "delivery_id": DELIVERY.to_string(),
            "message_id": MessageId::from_bits(5).to_string(),
            "conversation_id": ConversationId::from_bits(4).to_string(),
            "contact_id": ContactId::from_bits(3).to_string(),
            "phone_number_id": "106540352242922",
            "contact": {"name": "Ana", "phone_number": "+5511987654321", "user_id": "BR.77"},
            "media_url": null,
            "media_status": null,
        })
    );
}

#[test]
fn a_message_of_which_nothing_is_kept_is_built_from_what_is_known() {
    let (_, value) = render(&EventKind::MessageReceived(received()), &[]);
    let inner = value_of(&value);
    assert_eq!(
        inner["messages"],
        json!([{"from": "5511987654321", "id": "wamid.A1==", "timestamp": "1790000000", "type": "text",
            "text": {"body": "hi"}}])
    );
    assert_eq!(
        inner["contacts"],
        json!([{"profile": {"name": "Ana"}, "wa_id": "551187654321", "user_id": "BR.77"}])
    );
}

#[test]
fn media_have_an_address_until_their_message_is_taken_back() {
    let mut image = Message { kind: MessageKind::Image, ..received() };
    let url = format!("https://kabar.example.com/v1/106540352242922/messages/{}/media", image.id);
    let (_, value) = render(&EventKind::MessageReceived(image.clone()), &[]);
    assert_eq!(
        (&value["kirim"]["media_url"], &value["kirim"]["media_status"]),
        (&json!(url), &json!("pending"))
    );
    image.details.revoked_at = Some(AT);
    let (_, value) = render(&EventKind::MessageReceived(image), &[]);
    assert_eq!(value["kirim"]["media_url"], Value::Null);
}

#[test]
fn calls_and_standby_have_their_own_field() {
    let call = Message { kind: MessageKind::Call, ..received() };
    let kept = [raw(RawRole::Change, r#"{"id":"wamid.A1==","event":"connect"}"#, None)];
    let (_, value) = render(&EventKind::MessageReceived(call), &kept);
    assert_eq!(value["entry"][0]["changes"][0]["field"], "calls");
    assert_eq!(value_of(&value)["calls"][0]["event"], "connect");
    let mut aside = received();
    aside.details.standby = true;
    let (_, value) = render(&EventKind::MessageReceived(aside), &[]);
    assert_eq!(value["entry"][0]["changes"][0]["field"], "standby");
    assert_eq!(value_of(&value)["standby"]["messages"][0]["id"], "wamid.A1==");
    assert_eq!(value_of(&value).get("messages"), None);
}

#[test]
fn a_status_shows_the_clients_own_data_or_none() {
    let sent =
        r#"{"id":"wamid.A1==","status":"sent","timestamp":"1790000000","biz_opaque_callback_data":"msg_X"}"#;
    let read =
        r#"{"id":"wamid.A1==","biz_opaque_callback_data":"msg_X","status":"read","timestamp":"1790000009"}"#;
    let kept = [raw(RawRole::Status, sent, None), raw(RawRole::Status, read, Some(r#"{"user_id":"BR.77"}"#))];
    let mut message =
        message(Direction::Outbound, &[(MessageStatus::Sent, false), (MessageStatus::Read, true)]);
    let (body, value) = render(&moved(message.clone()), &kept);
    let without = r#"{"id":"wamid.A1==","status":"read","timestamp":"1790000009"}"#;
    assert!(body.contains(without) && !body.contains("msg_X"), "{body}");
    assert_eq!(value_of(&value)["contacts"], json!([{"user_id": "BR.77"}]));
    assert_eq!(value["kirim"]["media_url"], Value::Null);
    message.details.callback_data = Some("order \"7\"".into());
    let (body, _) = render(&moved(message), &kept);
    let own = r#"{"id":"wamid.A1==","biz_opaque_callback_data":"order \"7\"","status":"read","timestamp":"1790000009"}"#;
    assert!(body.contains(own), "{body}");
}

#[test]
fn only_what_whatsapp_reported_and_own_failures_are_shown() {
    let out = |reports: &[(MessageStatus, bool)]| moved(message(Direction::Outbound, reports));
    for hidden in [
        out(&[(MessageStatus::Sent, false)]),
        moved(message(Direction::Inbound, &[(MessageStatus::Received, true), (MessageStatus::Read, false)])),
    ] {
        assert_eq!(MetaForm::of_event(&hidden), MetaForm::Hidden, "{hidden:?}");
    }
    let kind = out(&[(MessageStatus::Played, true), (MessageStatus::Read, false)]);
    assert_eq!(item(&kind).event_id(), "wamid.A1==:played");
    let kind = out(&[(MessageStatus::Sent, true)]);
    assert_eq!(item(&kind).event_id(), "wamid.A1==:sent");
    let reported = EventKind::MessageStatusReported {
        message: message(Direction::Outbound, &[(MessageStatus::Sent, false)]),
        status: MessageStatus::Sent,
        occurred_at: AT,
    };
    assert_eq!(item(&reported).event_id(), item(&kind).event_id());
    let received = EventKind::MessageReceived(received());
    assert_eq!(item(&received).event_id(), "wamid.A1==");
    assert_eq!(MetaForm::of_event(&EventKind::MessageSent(self::received())), MetaForm::Other);
}

#[test]
fn a_send_that_failed_here_has_our_id() {
    let failed = Message {
        wamid: None,
        error: Some(MessageError {
            code: "whatsapp_error".into(),
            message: "too old".into(),
            provider_code: Some(131_047),
        }),
        ..message(Direction::Outbound, &[(MessageStatus::Failed, false)])
    };
    let id = failed.id.to_string();
    let kind = moved(failed);
    assert_eq!((item(&kind).raw_key(), item(&kind).event_id()), (None, format!("{id}:failed")));
    let (_, value) = render(&kind, &[]);
    let status = &value_of(&value)["statuses"][0];
    assert_eq!((&status["id"], &status["status"]), (&json!(id), &json!("failed")));
    assert_eq!(
        (&status["recipient_id"], &status["errors"][0]["code"]),
        (&json!("5511987654321"), &json!(131_047))
    );
    assert_eq!(value_of(&value).get("contacts"), None);
}

#[test]
fn of_several_reports_of_one_status_the_one_of_that_time_is_shown() {
    let report = |second: u64| {
        let body = format!(r#"{{"id":"w","status":"read","timestamp":"{second}","n":{second}}}"#);
        raw(RawRole::Status, &body, None)
    };
    let kept = [report(1_790_000_005), report(1_790_000_000)];
    let kind = moved(message(Direction::Outbound, &[(MessageStatus::Read, true)]));
    let (_, value) = render(&kind, &kept);
    assert_eq!(value_of(&value)["statuses"][0]["n"], 1_790_000_000);
    let later = EventKind::MessageStatusReported {
        message: message(Direction::Outbound, &[(MessageStatus::Read, true)]),
        status: MessageStatus::Read,
        occurred_at: AT.plus_duration(Duration::from_secs(90)),
    };
    let (_, value) = render(&later, &kept);
    assert_eq!(value_of(&value)["statuses"][0]["n"], 1_790_000_005);
}

#[test]
fn an_id_that_no_header_can_hold_is_escaped() {
    let odd = Message { wamid: Some("wamid.é \n".into()), ..received() };
    let kind = EventKind::MessageReceived(odd);
    assert_eq!(item(&kind).event_id(), "wamid.%C3%A9%20%0A");
}
