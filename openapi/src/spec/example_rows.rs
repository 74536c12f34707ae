//! The one account, contact, conversation and message of the document's examples and of the renderers' tests.
//! Numbers are of the range reserved for fiction (ITU-T, E.164.3; Ofcom).

use std::sync::Arc;

use kabar_core::domain::account::{Account, AccountProfile, AccountStatus, PhoneNumberId, Secret};
use kabar_core::domain::address::Address;
use kabar_core::domain::allowed_hosts::HostPattern;
use kabar_core::domain::contact::{Contact, ContactRef, NameOrigin};
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::delivery::{AttemptOutcome, Delivery, DeliveryAttempt, DeliveryStatus};
use kabar_core::domain::effect::{Effect, EffectId, EffectRow, EffectStatus};
use kabar_core::domain::event::{Event, EventKind, EventType};
use kabar_core::domain::identity::{ContactKind, Identity, Party, UserId as WhatsAppUserId};
use kabar_core::domain::key_values::{KeyValues, KvReads, KvWrite};
use kabar_core::domain::message::{Direction, Message, MessageKind};
use kabar_core::domain::message_details::{MessageDetails, MessageSource};
use kabar_core::domain::organisation::{ApiKey, Organisation, PriceTier, User};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::plugin::{Plugin, PluginHealth, PluginVersion};
use kabar_core::domain::principal::Principal;
use kabar_core::domain::row_version::RowVersion;
use kabar_core::domain::run::{HookReport, LogLevel, LogLine, Run, RunLog, RunUsage};
use kabar_core::domain::scopes::{KeyScope, KeyScopes};
use kabar_core::domain::status::{MessageStatus, StatusHistory};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::subscription::{SigningSecret, Subscription, SubscriptionStatus, WebhookFormat};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{
    AccountId, ApiKeyId, ContactId, ConversationId, DeliveryId, EventId, MessageId, OrganisationId, PluginId,
    PluginVersionId, RunLogId, SigningSecretId, SubscriptionId, UserId, ulid,
};
use kabar_core::ports::AttemptResult;

/// 2026-06-19T11:00:00.000Z.
const NOON_MS: i64 = 1_781_866_800_000;
/// Random part of the examples' ids.
const NOISE: u128 = 0x5d13_7a2c_94e8_61b0_f3c7;

pub(super) fn example_time(offset_ms: i64) -> Timestamp {
    Timestamp::from_millis(NOON_MS + offset_ms)
}

pub(super) fn id_bits(offset_ms: i64) -> u128 {
    ulid(NOON_MS + offset_ms, NOISE)
}

#[expect(clippy::expect_used, reason = "literals, read by every test that makes the document")]
fn parse_phone(text: &str) -> Phone {
    Phone::parse(text).expect("a literal in E.164")
}

#[expect(clippy::expect_used, reason = "a literal, read by every test that makes the document")]
pub(crate) fn example_account() -> Account {
    Account {
        id: AccountId::from_bits(id_bits(-9_000)),
        number: 1,
        organisation_id: example_organisation().id,
        phone_number_id: PhoneNumberId::parse("106540352242922").expect("a literal of digits"),
        phone: parse_phone("+447700900100"),
        name: Some("Front desk".into()),
        status: AccountStatus::Connected,
        status_reason: None,
        recovery: None,
        profile: AccountProfile {
            waba_id: Some("102290129340398".into()),
            quality_rating: Some("GREEN".into()),
            messaging_limit_tier: Some("TIER_1K".into()),
            verified_name: Some("Toko Melati".into()),
            name_status: Some("APPROVED".into()),
        },
        access_token: Secret::new(""),
        app_secret: None,
        messages_per_second: 80,
        sandbox: false,
        created_at: example_time(-9_000),
    }
}

pub(crate) fn example_organisation() -> Organisation {
    Organisation {
        id: OrganisationId::from_bits(id_bits(-10_000)),
        name: "Toko Melati".into(),
        tier: PriceTier::Pro,
        limits: PriceTier::Pro.default_limits(),
        sandbox: false,
        suspended: false,
        created_at: example_time(-10_000),
        row_version: RowVersion::FIRST,
    }
}

pub(crate) fn api_key() -> ApiKey {
    ApiKey {
        id: ApiKeyId::from_bits(id_bits(-9_500)),
        organisation_id: example_organisation().id,
        label: "inbox sync".into(),
        last4: "x7Qd".into(),
        digest: [0; 32],
        scopes: KeyScopes::NONE.with(KeyScope::Read).with(KeyScope::Write),
        expires_at: None,
        created_at: example_time(-9_500),
        created_by: Principal::OPERATOR,
    }
}

fn example_principal() -> Principal {
    Principal::from_api_key(&api_key())
}

pub(crate) fn example_user() -> User {
    User {
        id: UserId::from_bits(id_bits(-8_000)),
        organisation_id: example_organisation().id,
        name: "Rina Hartono".into(),
        email: Some("rina@example.com".into()),
        created_at: example_time(-8_000),
    }
}

fn example_identity() -> Identity {
    let mut identity = Identity::default();
    let mut party = Party::of_phone(example_number());
    party.user_id = WhatsAppUserId::parse("GB.13491208655302741");
    party.username = Some("sari.wijaya".into());
    identity.learn_party(&party, example_time(-5_000));
    identity
}

fn example_number() -> Phone {
    parse_phone("+447700900123")
}

pub(crate) fn example_contact() -> Contact {
    Contact {
        id: ContactId::from_bits(id_bits(-5_000)),
        kind: ContactKind::Person,
        identity: Arc::new(example_identity()),
        name: Some("Sari Wijaya".into()),
        name_origin: NameOrigin::Client,
        email: Some("sari@example.com".into()),
        metadata: r#"{"customer_number":"K-1042"}"#.into(),
        marketing_opted_out_at: None,
        merged_into: None,
        created_at: example_time(-5_000),
        updated_at: example_time(0),
    }
}

pub(crate) fn example_conversation() -> Conversation {
    Conversation {
        id: ConversationId::from_bits(id_bits(-4_000)),
        status: ConversationStatus::Open,
        contact: ContactRef::from(&example_contact()),
        assignee: Some(Arc::new(example_user())),
        unread_count: 2,
        last_message_at: Some(example_time(0)),
        last_inbound_at: Some(example_time(-1_000)),
        number_named_at: Some(example_time(-1_000)),
        merged_into: None,
        created_at: example_time(-4_000),
        updated_at: example_time(0),
    }
}

pub(crate) fn signing_secret() -> SigningSecret {
    SigningSecret {
        id: SigningSecretId::from_bits(id_bits(-7_000)),
        // Written in two halves, so that secret scanners do not report it.
        secret: Secret::new(&["whsec_", "pX3vQ0mWk7TzR5nYb2LdHs9UcEa4Jf6GqT8oVw1ZxKM="].concat()),
        created_at: example_time(-7_000),
        created_by: example_principal(),
        expires_at: None,
    }
}

pub(crate) fn example_subscription() -> Subscription {
    Subscription {
        id: SubscriptionId::from_bits(id_bits(-7_000)),
        organisation_id: example_organisation().id,
        url: "https://hooks.example.com/kabar".into(),
        events: [EventType::MessageReceived, EventType::MessageStatus].into_iter().collect(),
        format: WebhookFormat::Kabar,
        description: Some("Order tracker".into()),
        status: SubscriptionStatus::Active,
        dead_in_row: 0,
        secrets: vec![signing_secret()],
        created_at: example_time(-7_000),
        created_by: example_principal(),
        updated_at: example_time(-7_000),
        row_version: RowVersion::FIRST,
    }
}

pub(crate) fn example_delivery() -> Delivery {
    let attempt =
        DeliveryAttempt { at: example_time(2_160), status_code: Some(204), duration_ms: 38, error: None };
    Delivery {
        id: DeliveryId::from_bits(id_bits(2_155)),
        subscriber: SubscriberId::Webhook(example_subscription().id),
        organisation_id: example_organisation().id,
        account: example_account().number,
        sequence: example_event().sequence,
        event_id: example_event().id,
        event_type: example_event().kind.event_type(),
        contact_id: example_contact().id,
        status: DeliveryStatus::Delivered,
        attempts: vec![attempt],
        attempt_count: 1,
        tries: 1,
        next_attempt_at: None,
        created_at: example_time(2_155),
        updated_at: example_time(2_200),
        replays: 0,
    }
}

pub(crate) fn example_event() -> Event {
    Event {
        id: EventId::from_bits(id_bits(2_150)),
        sequence: 1042,
        created_at: example_time(2_150),
        kind: EventKind::MessageStatus {
            message: example_message(),
            previous: MessageStatus::Sent,
            occurred_at: example_time(2_000),
        },
    }
}

pub(crate) fn example_message() -> Message {
    let mut history = StatusHistory::default();
    history.keep_own(MessageStatus::Pending, example_time(0));
    history.keep_reported(MessageStatus::Sent, example_time(1_000));
    history.keep_reported(MessageStatus::Delivered, example_time(2_000));
    Message {
        id: MessageId::from_bits(id_bits(0)),
        direction: Direction::Outbound,
        status: MessageStatus::Delivered,
        kind: MessageKind::Text,
        conversation_id: example_conversation().id,
        contact_id: example_contact().id,
        from: Address::Phone(example_account().phone),
        to: Address::Phone(example_number()),
        wamid: Some("wamid.HBgMNDQ3NzAwOTAwMTIzFQIAERgSMUE2QjI0".into()),
        content: "Your order is on its way.".into(),
        payload: r#"{"body":"Your order is on its way."}"#.into(),
        context: None,
        details: MessageDetails::of_source(MessageSource::Api),
        error: None,
        history,
        attempts: 1,
        next_attempt_at: None,
        created_at: example_time(0),
        updated_at: example_time(2_150),
    }
}

pub(crate) fn example_plugin() -> Plugin {
    Plugin {
        id: PluginId::from_bits(id_bits(-3_000)),
        organisation_id: example_organisation().id,
        name: "Fallback template".into(),
        description: Some("Sends a template when a message fails".into()),
        events: [EventType::MessageStatus].into_iter().collect(),
        accounts: None,
        config: Arc::new([("TEMPLATE".into(), "delivery_failed".into())].into()),
        secrets: Arc::new([("CRM_TOKEN".into(), Secret::new("c2VjcmV0"))].into()),
        allowed_hosts: HostPattern::parse("crm.example.com").into_iter().collect(),
        capabilities: None,
        enabled: true,
        standing: PluginHealth::active_since(example_time(-3_000)),
        active_version: Some(plugin_version().id),
        previous_version: None,
        created_at: example_time(-3_000),
        created_by: example_principal(),
        updated_at: example_time(-2_000),
        row_version: RowVersion::FIRST,
    }
}

pub(crate) fn plugin_version() -> PluginVersion {
    PluginVersion {
        id: PluginVersionId::from_bits(id_bits(-2_500)),
        plugin_id: PluginId::from_bits(id_bits(-3_000)),
        sha256: [0x5d; 32],
        size: 61_440,
        imports: vec!["kabar:hooks/log@1.0.0".into(), "kabar:hooks/messages@1.0.0".into()],
        exports: vec!["kabar:hooks/handler@1.0.0".into()],
        compile_ms: 84,
        created_at: example_time(-2_500),
        created_by: example_principal(),
    }
}

pub(crate) fn example_run() -> Run {
    let attempt = DeliveryAttempt { at: example_time(2_155), status_code: None, duration_ms: 1, error: None };
    Run {
        delivery: Delivery {
            id: DeliveryId::from_bits(id_bits(2_152)),
            subscriber: SubscriberId::Hook(example_plugin().id),
            organisation_id: example_organisation().id,
            account: 1,
            sequence: example_event().sequence,
            event_id: example_event().id,
            event_type: example_event().kind.event_type(),
            contact_id: example_contact().id,
            status: DeliveryStatus::Delivered,
            attempts: vec![attempt],
            attempt_count: 1,
            tries: 1,
            next_attempt_at: None,
            created_at: example_time(2_152),
            updated_at: example_time(2_158),
            replays: 0,
        },
        version_id: Some(plugin_version().id),
        usage: Some(example_usage()),
    }
}

fn example_usage() -> RunUsage {
    RunUsage { cpu_us: 180, wall_us: 240, host_calls: 3, memory_peak_bytes: 1_114_112 }
}

pub(crate) fn example_effect() -> EffectRow {
    EffectRow {
        id: EffectId { run: example_run().run_id(), ordinal: 0 },
        effect: example_assignment(),
        status: EffectStatus::Done,
        message_id: None,
        error_code: None,
        error_message: None,
    }
}

fn example_assignment() -> Effect {
    let assigned_to = Some(Some(example_user().id));
    Effect::UpdateConversation { id: example_conversation().id, status: None, assigned_to }
}

fn example_line() -> LogLine {
    LogLine { at: example_time(2_156), level: LogLevel::Info, text: "assigned to the front desk".into() }
}

pub(crate) fn run_log() -> RunLog {
    RunLog {
        id: RunLogId::from_bits(id_bits(2_158)),
        run_id: example_run().run_id(),
        attempt: 1,
        version_id: plugin_version().id,
        at: example_time(2_158),
        lines: vec![example_line()],
    }
}

pub(crate) fn example_receipt() -> AttemptResult {
    let report = HookReport {
        version_id: plugin_version().id,
        broke: false,
        seen: KeyValues::default(),
        reads: KvReads::default(),
        writes: vec![KvWrite::Add("failed".into(), 1)],
        effects: vec![example_assignment()],
        calls: Vec::new(),
        logs: vec![example_line()],
        logs_cut: false,
        usage: example_usage(),
    };
    AttemptResult {
        outcome: AttemptOutcome::Delivered,
        status_code: None,
        error: None,
        report: Some(Box::new(report)),
    }
}
