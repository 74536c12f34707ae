//! The one account, contact, thread and message of the document's examples and of the renderers'
//! tests. Numbers are of the range reserved for fiction (ITU-T, E.164.3; Ofcom).

use std::sync::Arc;

use kabar_core::domain::account::{Account, AccountStatus, PhoneNumberId, Secret};
use kabar_core::domain::allowed_hosts::HostPattern;
use kabar_core::domain::contact::{Contact, ContactRef};
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::delivery::{AttemptOutcome, Delivery, DeliveryAttempt, DeliveryStatus};
use kabar_core::domain::effect::{Effect, EffectId, EffectRow, EffectStatus};
use kabar_core::domain::event::{Event, EventKind, EventType};
use kabar_core::domain::kv::{KeyValues, KvReads, KvWrite};
use kabar_core::domain::message::{Direction, Message, MessageKind};
use kabar_core::domain::organisation::{ApiKey, Organisation, PriceTier, User};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::plugin::{Plugin, PluginHealth, PluginVersion};
use kabar_core::domain::row_version::RowVersion;
use kabar_core::domain::run::{HookReport, LogLevel, LogLine, Run, RunLog, RunUsage};
use kabar_core::domain::status::{MessageStatus, StatusHistory};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::subscription::{SigningSecret, Subscription, SubscriptionStatus};
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

fn at(offset_ms: i64) -> Timestamp {
    Timestamp::from_millis(NOON_MS + offset_ms)
}

fn bits(offset_ms: i64) -> u128 {
    ulid(NOON_MS + offset_ms, NOISE)
}

#[expect(clippy::expect_used, reason = "literals, read by every test that makes the document")]
fn phone(text: &str) -> Phone {
    Phone::parse(text).expect("a literal in E.164")
}

#[expect(clippy::expect_used, reason = "a literal, read by every test that makes the document")]
pub(crate) fn account() -> Account {
    Account {
        id: AccountId::from_bits(bits(-9_000)),
        number: 1,
        organisation_id: organisation().id,
        phone_number_id: PhoneNumberId::parse("106540352242922").expect("a literal of digits"),
        phone: phone("+447700900100"),
        name: Some("Front desk".into()),
        status: AccountStatus::Connected,
        access_token: Secret::new(""),
        app_secret: None,
        messages_per_second: 80,
        sandbox: false,
        created_at: at(-9_000),
    }
}

pub(crate) fn organisation() -> Organisation {
    Organisation {
        id: OrganisationId::from_bits(bits(-10_000)),
        name: "Toko Melati".into(),
        tier: PriceTier::Pro,
        limits: PriceTier::Pro.default_limits(),
        sandbox: false,
        suspended: false,
        created_at: at(-10_000),
        row_version: RowVersion::FIRST,
    }
}

pub(crate) fn api_key() -> ApiKey {
    ApiKey {
        id: ApiKeyId::from_bits(bits(-9_500)),
        organisation_id: organisation().id,
        label: "inbox sync".into(),
        last4: "x7Qd".into(),
        digest: [0; 32],
        expires_at: None,
        created_at: at(-9_500),
    }
}

pub(crate) fn user() -> User {
    User {
        id: UserId::from_bits(bits(-8_000)),
        organisation_id: organisation().id,
        name: "Rina Hartono".into(),
        email: Some("rina@example.com".into()),
        created_at: at(-8_000),
    }
}

pub(crate) fn contact() -> Contact {
    Contact {
        id: ContactId::from_bits(bits(-5_000)),
        phone: phone("+447700900123"),
        name: Some("Sari Wijaya".into()),
        email: Some("sari@example.com".into()),
        metadata: r#"{"customer_number":"K-1042"}"#.into(),
        created_at: at(-5_000),
        updated_at: at(0),
    }
}

pub(crate) fn conversation() -> Conversation {
    Conversation {
        id: ConversationId::from_bits(bits(-4_000)),
        status: ConversationStatus::Open,
        contact: ContactRef::from(&contact()),
        assignee: Some(Arc::new(user())),
        unread_count: 2,
        last_message_at: Some(at(0)),
        last_inbound_at: Some(at(-1_000)),
        created_at: at(-4_000),
        updated_at: at(0),
    }
}

pub(crate) fn signing_secret() -> SigningSecret {
    SigningSecret {
        id: SigningSecretId::from_bits(bits(-7_000)),
        // Spelt in two halves, so that scanners for lost secrets do not take it for one.
        secret: Secret::new(&["whsec_", "pX3vQ0mWk7TzR5nYb2LdHs9UcEa4Jf6G"].concat()),
        created_at: at(-7_000),
        expires_at: None,
    }
}

pub(crate) fn subscription() -> Subscription {
    Subscription {
        id: SubscriptionId::from_bits(bits(-7_000)),
        organisation_id: organisation().id,
        url: "https://hooks.example.com/kabar".into(),
        events: [EventType::MessageReceived, EventType::MessageStatus].into_iter().collect(),
        description: Some("Order tracker".into()),
        status: SubscriptionStatus::Active,
        dead_in_row: 0,
        secrets: vec![signing_secret()],
        created_at: at(-7_000),
        updated_at: at(-7_000),
        row_version: RowVersion::FIRST,
    }
}

pub(crate) fn delivery() -> Delivery {
    let attempt = DeliveryAttempt { at: at(2_160), status_code: Some(204), duration_ms: 38, error: None };
    Delivery {
        id: DeliveryId::from_bits(bits(2_155)),
        subscriber: SubscriberId::Webhook(subscription().id),
        organisation_id: organisation().id,
        account: account().number,
        sequence: event().sequence,
        event_id: event().id,
        event_type: event().kind.event_type(),
        contact_id: contact().id,
        status: DeliveryStatus::Delivered,
        attempts: vec![attempt],
        attempt_count: 1,
        tries: 1,
        next_attempt_at: None,
        created_at: at(2_155),
        updated_at: at(2_200),
        replays: 0,
    }
}

pub(crate) fn event() -> Event {
    Event {
        id: EventId::from_bits(bits(2_150)),
        sequence: 1042,
        created_at: at(2_150),
        kind: EventKind::MessageStatus {
            message: message(),
            previous: MessageStatus::Sent,
            occurred_at: at(2_000),
        },
    }
}

pub(crate) fn message() -> Message {
    let mut history = StatusHistory::default();
    history.keep_own(MessageStatus::Pending, at(0));
    history.keep_reported(MessageStatus::Sent, at(1_000));
    history.keep_reported(MessageStatus::Delivered, at(2_000));
    Message {
        id: MessageId::from_bits(bits(0)),
        direction: Direction::Outbound,
        status: MessageStatus::Delivered,
        kind: MessageKind::Text,
        conversation_id: conversation().id,
        contact_id: contact().id,
        from: account().phone,
        to: contact().phone,
        wamid: Some("wamid.HBgMNDQ3NzAwOTAwMTIzFQIAERgSMUE2QjI0".into()),
        content: "Your order is on its way.".into(),
        payload: r#"{"body":"Your order is on its way."}"#.into(),
        context: None,
        error: None,
        history,
        attempts: 1,
        next_attempt_at: None,
        created_at: at(0),
        updated_at: at(2_150),
    }
}

pub(crate) fn plugin() -> Plugin {
    Plugin {
        id: PluginId::from_bits(bits(-3_000)),
        organisation_id: organisation().id,
        name: "Fallback template".into(),
        description: Some("Sends a template when a message fails".into()),
        events: [EventType::MessageStatus].into_iter().collect(),
        accounts: None,
        config: Arc::new([("TEMPLATE".into(), "delivery_failed".into())].into()),
        secrets: Arc::new([("CRM_TOKEN".into(), Secret::new("c2VjcmV0"))].into()),
        allowed_hosts: HostPattern::parse("crm.example.com").into_iter().collect(),
        capabilities: None,
        enabled: true,
        standing: PluginHealth::active_since(at(-3_000)),
        active_version: Some(plugin_version().id),
        previous_version: None,
        created_at: at(-3_000),
        updated_at: at(-2_000),
        row_version: RowVersion::FIRST,
    }
}

pub(crate) fn plugin_version() -> PluginVersion {
    PluginVersion {
        id: PluginVersionId::from_bits(bits(-2_500)),
        plugin_id: PluginId::from_bits(bits(-3_000)),
        sha256: [0x5d; 32],
        size: 61_440,
        imports: vec!["kabar:hooks/log@1.0.0".into(), "kabar:hooks/messages@1.0.0".into()],
        exports: vec!["kabar:hooks/handler@1.0.0".into()],
        compile_ms: 84,
        created_at: at(-2_500),
    }
}

pub(crate) fn run() -> Run {
    let attempt = DeliveryAttempt { at: at(2_155), status_code: None, duration_ms: 1, error: None };
    Run {
        delivery: Delivery {
            id: DeliveryId::from_bits(bits(2_152)),
            subscriber: SubscriberId::Hook(plugin().id),
            organisation_id: organisation().id,
            account: 1,
            sequence: event().sequence,
            event_id: event().id,
            event_type: event().kind.event_type(),
            contact_id: contact().id,
            status: DeliveryStatus::Delivered,
            attempts: vec![attempt],
            attempt_count: 1,
            tries: 1,
            next_attempt_at: None,
            created_at: at(2_152),
            updated_at: at(2_158),
            replays: 0,
        },
        version_id: Some(plugin_version().id),
        usage: Some(usage()),
    }
}

fn usage() -> RunUsage {
    RunUsage { cpu_us: 180, wall_us: 240, host_calls: 3, memory_peak_bytes: 1_114_112 }
}

pub(crate) fn effect() -> EffectRow {
    EffectRow {
        id: EffectId { run: run().run_id(), ordinal: 0 },
        effect: assignment(),
        status: EffectStatus::Done,
        message_id: None,
        error_code: None,
        error_message: None,
    }
}

fn assignment() -> Effect {
    let assigned_to = Some(Some(user().id));
    Effect::UpdateConversation { id: conversation().id, status: None, assigned_to }
}

fn line() -> LogLine {
    LogLine { at: at(2_156), level: LogLevel::Info, text: "assigned to the front desk".into() }
}

pub(crate) fn run_log() -> RunLog {
    RunLog {
        id: RunLogId::from_bits(bits(2_158)),
        run_id: run().run_id(),
        attempt: 1,
        version_id: plugin_version().id,
        at: at(2_158),
        lines: vec![line()],
    }
}

pub(crate) fn receipt() -> AttemptResult {
    let report = HookReport {
        version_id: plugin_version().id,
        broke: false,
        seen: KeyValues::default(),
        reads: KvReads::default(),
        writes: vec![KvWrite::Add("failed".into(), 1)],
        effects: vec![assignment()],
        calls: Vec::new(),
        logs: vec![line()],
        logs_cut: false,
        usage: usage(),
    };
    AttemptResult {
        outcome: AttemptOutcome::Delivered,
        status_code: None,
        error: None,
        report: Some(Box::new(report)),
    }
}
