//! Default events: one failed template message, its conversation and its contact.

use std::sync::Arc;

use kabar_core::domain::account::{Account, AccountProfile, AccountStatus, PhoneNumberId, Secret};
use kabar_core::domain::address::Address;
use kabar_core::domain::contact::{Contact, ContactRef, NameOrigin};
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::event::{Event, EventKind, EventType};
use kabar_core::domain::identity::{ContactKind, Identifier, Identity, Party, UserId as WhatsAppUserId};
use kabar_core::domain::inbound::FieldNotice;
use kabar_core::domain::message::{Direction, Message, MessageError, MessageKind};
use kabar_core::domain::message_details::{MessageDetails, MessageSource};
use kabar_core::domain::organisation::User;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::status::{MessageStatus, StatusHistory};
use kabar_core::domain::template::{Template, TemplateKey};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{
    AccountId, ContactId, ConversationId, EventId, MessageId, OrganisationId, TemplateId, UserId, ulid,
};

use super::SampleEvent;

/// 2026-06-19T11:00:00Z.
const AT: Timestamp = Timestamp::from_millis(1_781_866_800_000);

#[expect(clippy::expect_used, reason = "a literal, read by every test that makes samples")]
fn sample_template() -> Template {
    Template {
        id: TemplateId::from_bits(id_bits(9)),
        key: TemplateKey::parse("order_shipped", "en_US").expect("a literal name"),
        provider_id: Some("5550001".into()),
        provider_status: "APPROVED".into(),
        category: Some("UTILITY".into()),
        quality: Some("GREEN".into()),
        rejected_reason: None,
        components: Some(r#"[{"type":"BODY","text":"Your order {{1}} is on its way."}]"#.into()),
        variables: None,
        created_at: AT,
        updated_at: AT,
    }
}

fn id_bits(random: u128) -> u128 {
    ulid(AT.millis(), random)
}

/// Returns the default event of this type, which also supplies the members that a sample omits.
#[must_use]
pub fn event(kind: EventType) -> SampleEvent {
    let change = match kind {
        EventType::MessageReceived => EventKind::MessageReceived(received_message()),
        EventType::MessageCreated => EventKind::MessageCreated(outbound_message(MessageStatus::Pending)),
        EventType::MessageSent => EventKind::MessageSent(outbound_message(MessageStatus::Sent)),
        EventType::MessageStatus => EventKind::MessageStatus {
            message: failed_message(),
            previous: MessageStatus::Sent,
            occurred_at: AT,
        },
        EventType::ConversationCreated => EventKind::ConversationCreated(sample_conversation()),
        EventType::ConversationAssigned => {
            let assignee = Some(Arc::new(sample_user()));
            EventKind::ConversationAssigned(Conversation { assignee, ..sample_conversation() })
        }
        EventType::ConversationClosed => {
            let status = ConversationStatus::Resolved;
            EventKind::ConversationClosed(Conversation { status, ..sample_conversation() })
        }
        EventType::ConversationUpdated => EventKind::ConversationUpdated(sample_conversation()),
        EventType::ContactCreated => EventKind::ContactCreated(sample_contact()),
        EventType::ContactUpdated => EventKind::ContactUpdated(sample_contact()),
        EventType::MessageEdited => EventKind::MessageEdited {
            message: edited_message(),
            previous_content: received_message().content,
        },
        EventType::MessageRevoked => EventKind::MessageRevoked(revoked_message()),
        EventType::MessageStatusReported => EventKind::MessageStatusReported {
            message: outbound_message(MessageStatus::Sent),
            status: MessageStatus::Sent,
            occurred_at: AT,
        },
        EventType::ContactIdentityUpdated => EventKind::ContactIdentityUpdated {
            contact: sample_contact(),
            added: vec![Identifier::UserId(customer_user_id())],
            merged: None,
        },
        EventType::ConversationMerged => EventKind::ConversationMerged(sample_conversation()),
        EventType::ContactDeleted => EventKind::ContactDeleted(sample_contact().id),
        EventType::ConversationDeleted => {
            let conversation = sample_conversation();
            EventKind::ConversationDeleted { conversation: conversation.id, contact: conversation.contact.id }
        }
        EventType::AccountUpdated => EventKind::AccountUpdated(Arc::new(sample_account())),
        EventType::TemplateCreated => EventKind::TemplateCreated(Arc::new(sample_template())),
        EventType::TemplateUpdated => EventKind::TemplateUpdated(Arc::new(sample_template())),
        EventType::TemplateDeleted => {
            let Template { id, key, .. } = sample_template();
            EventKind::TemplateDeleted { id, key }
        }
        EventType::WhatsAppField => EventKind::WhatsAppField(FieldNotice {
            field: "account_alerts".into(),
            value: r#"{"entity_type":"PHONE_NUMBER","entity_id":"106540352242922"}"#.into(),
        }),
    };
    let event = Event { id: EventId::from_bits(id_bits(1)), sequence: 1, created_at: AT, kind: change };
    SampleEvent { account: Arc::new(sample_account()), event: Arc::new(event) }
}

// Both are well-formed; a `Phone` has no other constructor.
fn parse_phone(text: &str) -> Phone {
    Phone::parse(text).unwrap_or_else(|| unreachable!("a number in E.164 form"))
}

fn business_phone() -> Phone {
    parse_phone("+14155550100")
}

fn customer_phone() -> Phone {
    parse_phone("+6281234567890")
}

fn customer_user_id() -> WhatsAppUserId {
    WhatsAppUserId::parse("ID.40817263549918273").unwrap_or_else(|| unreachable!("a country and an id"))
}

fn customer_identity() -> Arc<Identity> {
    let party = Party {
        phone: Some(customer_phone()),
        user_id: Some(customer_user_id()),
        username: Some("siti.w".into()),
        ..Party::default()
    };
    let mut identity = Identity::default();
    identity.learn_party(&party, AT);
    Arc::new(identity)
}

fn sample_account() -> Account {
    Account {
        id: AccountId::from_bits(id_bits(2)),
        number: 1,
        organisation_id: OrganisationId::from_bits(id_bits(3)),
        phone_number_id: PhoneNumberId::parse("106540352242922").unwrap_or_else(|| unreachable!("15 digits")),
        phone: business_phone(),
        name: Some("Sample".into()),
        status: AccountStatus::Connected,
        status_reason: None,
        profile: AccountProfile::default(),
        recovery: None,
        access_token: Secret::new(""),
        app_secret: None,
        messages_per_second: 80,
        sandbox: true,
        created_at: AT,
    }
}

fn outbound_message(status: MessageStatus) -> Message {
    Message {
        id: MessageId::from_bits(id_bits(4)),
        direction: Direction::Outbound,
        status,
        kind: MessageKind::Text,
        conversation_id: ConversationId::from_bits(id_bits(5)),
        contact_id: ContactId::from_bits(id_bits(6)),
        from: Address::Phone(business_phone()),
        to: Address::Phone(customer_phone()),
        wamid: (status != MessageStatus::Pending).then(|| "wamid.HBgNNjI4MTIzNDU2Nzg5MA==".into()),
        content: "Your order is on its way".into(),
        payload: r#"{"body":"Your order is on its way"}"#.into(),
        context: None,
        details: MessageDetails::of_source(MessageSource::Api),
        error: None,
        history: StatusHistory::default(),
        attempts: 1,
        next_attempt_at: None,
        created_at: AT,
        updated_at: AT,
    }
}

fn failed_message() -> Message {
    let error = MessageError {
        code: "outside_24h_window".into(),
        message: "the contact has not written within the last 24 hours".into(),
        provider_code: Some(131_047),
    };
    Message { error: Some(error), ..outbound_message(MessageStatus::Failed) }
}

fn received_message() -> Message {
    Message {
        direction: Direction::Inbound,
        status: MessageStatus::Received,
        from: Address::Phone(customer_phone()),
        to: Address::Phone(business_phone()),
        details: MessageDetails::default(),
        content: "Where is my order?".into(),
        payload: r#"{"body":"Where is my order?"}"#.into(),
        ..outbound_message(MessageStatus::Sent)
    }
}

fn edited_message() -> Message {
    let details = MessageDetails { edited_at: Some(AT), ..MessageDetails::default() };
    let (content, payload) = ("Where is my order?".into(), r#"{"body":"Where is my order?"}"#.into());
    Message { details, content, payload, ..received_message() }
}

fn revoked_message() -> Message {
    let details = MessageDetails { revoked_at: Some(AT), ..MessageDetails::default() };
    Message { details, content: "".into(), payload: "{}".into(), ..received_message() }
}

fn sample_contact() -> Contact {
    Contact {
        id: ContactId::from_bits(id_bits(6)),
        kind: ContactKind::Person,
        identity: customer_identity(),
        name: Some("Siti".into()),
        name_origin: NameOrigin::Profile,
        email: None,
        metadata: "{}".into(),
        marketing_opted_out_at: None,
        merged_into: None,
        created_at: AT,
        updated_at: AT,
    }
}

fn sample_conversation() -> Conversation {
    Conversation {
        id: ConversationId::from_bits(id_bits(5)),
        status: ConversationStatus::Open,
        contact: ContactRef::from(&sample_contact()),
        assignee: None,
        unread_count: 1,
        last_message_at: Some(AT),
        last_inbound_at: Some(AT),
        number_named_at: None,
        merged_into: None,
        created_at: AT,
        updated_at: AT,
    }
}

/// A person of the sample's tenant.
pub(super) fn sample_user() -> User {
    User {
        id: UserId::from_bits(id_bits(7)),
        organisation_id: OrganisationId::from_bits(id_bits(3)),
        name: "Ayu".into(),
        email: None,
        created_at: AT,
    }
}
