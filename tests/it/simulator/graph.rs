//! Core's client and the stand-in: what one writes, the other understands.

use std::sync::Arc;

use kabar::simulator::NetworkFaults;
use kabar_core::clock::Clock;
use kabar_core::domain::account::{Account, AccountProfile, AccountStatus, Secret};
use kabar_core::domain::address::Address;
use kabar_core::domain::identity::UserId;
use kabar_core::domain::message::{Direction, Message, MessageKind};
use kabar_core::domain::message_details::{MessageDetails, MessageSource};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::read_receipt::ReadReceipt;
use kabar_core::domain::status::{MessageStatus, StatusHistory};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{AccountId, ContactId, ConversationId, MessageId, OrganisationId};
use kabar_core::meta::graph::{GraphClient, GraphOutcome, TOTAL_TIMEOUT};
use kabar_core::meta::send_deadline::SendDeadline;

use super::{Stage, number, stage};

fn account(token: &str) -> Account {
    Account {
        id: AccountId::from_bits(1),
        number: 1,
        organisation_id: OrganisationId::from_bits(1),
        phone_number_id: number().phone_number_id,
        phone: number().phone,
        name: None,
        status: AccountStatus::Connected,
        status_reason: None,
        recovery: None,
        profile: AccountProfile::default(),
        access_token: Secret::new(token),
        app_secret: None,
        messages_per_second: 80,
        sandbox: true,
        created_at: Timestamp::EPOCH,
    }
}

fn read_mark() -> ReadReceipt {
    ReadReceipt { wamid: "wamid.IN1".into(), typing: true }
}

fn message_to(to: Address) -> Message {
    Message {
        id: MessageId::from_bits(7),
        direction: Direction::Outbound,
        status: MessageStatus::Pending,
        kind: MessageKind::Text,
        conversation_id: ConversationId::from_bits(1),
        contact_id: ContactId::from_bits(1),
        from: Address::Phone(number().phone),
        to,
        wamid: None,
        content: "hello".into(),
        payload: r#"{"body":"hello"}"#.into(),
        context: None,
        details: MessageDetails::of_source(MessageSource::Api),
        error: None,
        history: StatusHistory::default(),
        attempts: 0,
        next_attempt_at: None,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
    }
}

async fn sent(stage: &Stage, token: &str, to: &str) -> GraphOutcome {
    sent_to(stage, token, Address::Phone(Phone::parse(to).unwrap())).await
}

async fn sent_to(stage: &Stage, token: &str, to: Address) -> GraphOutcome {
    let client = GraphClient::new(&stage.simulator.base_url(), "v23.0").unwrap();
    let clock = Arc::new(Clock::system_clock());
    let deadline = SendDeadline::new(clock.clone(), clock.monotonic_now().saturating_plus(TOTAL_TIMEOUT));
    client.send_message(&account(token), &message_to(to), deadline).await
}

#[tokio::test]
async fn every_outcome_can_be_had() {
    let mut stage = stage(|_| {}).await;
    let GraphOutcome::Accepted { wamid, hold_reason: None, .. } = sent(&stage, "t0ken", "12025550141").await
    else {
        panic!()
    };
    let report = stage.status().await;
    assert_eq!((report.wamid, report.echo), (wamid, Some(MessageId::from_bits(7))));

    let GraphOutcome::Refused(error) = sent(&stage, "t0ken", "12025132001").await else { panic!() };
    assert_eq!(&*error.code, "template_not_found");
    let GraphOutcome::AccountRefused(error) = sent(&stage, "expired", "12025550141").await else { panic!() };
    assert_eq!(error.provider_code, Some(190));
    let GraphOutcome::Transient { error, .. } = sent(&stage, "t0ken", "12025131016").await else { panic!() };
    assert_eq!(error.provider_code, Some(131_016));

    stage.simulator.set_faults(NetworkFaults { drop_answer_percent: 100, ..NetworkFaults::default() });
    let lost = sent(&stage, "t0ken", "12025550143").await;
    assert!(matches!(lost, GraphOutcome::Unknown { .. }), "{lost:?}");
    assert_eq!(
        stage.simulator.sends().last().unwrap().opaque.as_deref(),
        Some("msg_00000000000000000000000007")
    );

    let client = GraphClient::new(&stage.simulator.base_url(), "v23.0").unwrap();
    assert_eq!(client.mark_read(&account("t0ken"), &read_mark()).await, Ok(()));
    assert_eq!(stage.simulator.receipts(), ["wamid.IN1"]);
}

#[tokio::test]
async fn an_answer_names_the_recipient() {
    let stage = stage(|_| {}).await;
    let recipient = |outcome| {
        let GraphOutcome::Accepted { recipient, .. } = outcome else { panic!("{outcome:?}") };
        recipient
    };
    let brazilian = recipient(sent(&stage, "t0ken", "5541998765432").await);
    assert_eq!(brazilian.phone.unwrap().as_digits(), "5541998765432");
    assert_eq!(brazilian.wa_id.unwrap().as_digits(), "554198765432");
    assert_eq!(brazilian.user_id, None);
    let id = UserId::parse("ID.40817263549918273").unwrap();
    let by_id = recipient(sent_to(&stage, "t0ken", Address::User(id.clone())).await);
    assert_eq!((by_id.phone, by_id.wa_id, by_id.user_id), (None, None, Some(id)));
}

#[tokio::test]
async fn a_number_tells_its_properties() {
    let script = "[[step]]\nprofile = { quality_rating = \"RED\", messaging_limit_tier = \"TIER_10K\" }\n\
                  [[step]]\nafter_sends = 1\nprofile = { refuse = 131031 }";
    let stage = stage(|options| {
        options.script = Some(kabar::simulator::SimulatorScript::parse_text(script, ".".as_ref()).unwrap());
    })
    .await;
    let client = GraphClient::new(&stage.simulator.base_url(), "v23.0").unwrap();
    let profile = client.fetch_profile(&account("t0ken")).await.unwrap();
    assert_eq!((profile.quality_rating.as_deref(), profile.messaging_limit()), (Some("RED"), Some(10_000)));
    assert_eq!(profile.verified_name.as_deref(), Some("Simulated Shop"));
    assert!(client.fetch_profile(&account("expired")).await.unwrap_err().refuses_account);
    sent(&stage, "t0ken", "12025550141").await;
    assert!(client.fetch_profile(&account("t0ken")).await.unwrap_err().refuses_account);
    assert_eq!(stage.simulator.counts().borrow().profiles, 3);
}
