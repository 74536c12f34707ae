//! Rows with all of their optional fields, for tests.

use super::identifiers::user_id;
use super::*;
use crate::domain::identity::{ContactUserId, GroupId, Username};
use crate::domain::message::MessageError;
use crate::domain::message_details::{GroupSender, MessageContext, MessageReaction, ReactionSide};

fn full_identity() -> Identity {
    let known = |id: &str, ms| ContactUserId { id: user_id(id), since: at(ms) };
    let mut identity = identity(2);
    identity.numbers.push(ContactNumber {
        phone: phone(22),
        wa_id: Some(phone(23)),
        since: at(4),
        named_at: at(9),
    });
    Identity {
        user_ids: vec![known("ID.1", 1), known("ID.2", 2)],
        parent_user_ids: vec![known("ID.ENT.1", 3)],
        group_id: GroupId::parse("g@x"),
        username: Some(Username { text: text("b.u\"di"), told_at: at(5) }),
        ..identity
    }
}

fn full_context() -> MessageContext {
    MessageContext {
        message_id: Some(text("wamid.y")),
        from: Some(text("628")),
        forwarded: true,
        frequently_forwarded: true,
        referred_product: Some(text(r#"{"catalog_id":"1"}"#)),
    }
}

fn full_details() -> MessageDetails {
    let reaction = |emoji: Option<&str>, from, participant: Option<&str>| MessageReaction {
        emoji: emoji.map(text),
        from,
        participant: participant.map(text),
        at: at(6),
    };
    MessageDetails {
        source: MessageSource::Agent,
        standby: true,
        referral: Some(text(r#"{"ctwa_clid":"x"}"#)),
        pricing: Some(text(r#"{"billable":true}"#)),
        pricing_at: Some(at(12)),
        missed_call: true,
        placeholder: true,
        group_id: GroupId::parse("g@x"),
        sender: Some(GroupSender {
            phone: Some(phone(5)),
            user_id: Some(user_id("ID.5")),
            name: Some(text("Ani")),
        }),
        callback_data: Some(text("mine")),
        addressed_user: Some(user_id("ID.6")),
        edited_at: Some(at(13)),
        revoked_at: Some(at(14)),
        reactions: vec![
            reaction(Some("👍"), ReactionSide::Contact, Some("+628")),
            reaction(None, ReactionSide::Business, None),
        ],
        hold_reason: Some(text("held_for_quality_assessment")),
    }
}

/// An account as its events show it.
pub(super) fn shown_account() -> Account {
    Account {
        number: 7,
        status: AccountStatus::Degraded,
        status_reason: Some(text("banned")),
        recovery: None,
        profile: AccountProfile {
            waba_id: Some(text("77")),
            quality_rating: Some(text("RED")),
            ..AccountProfile::default()
        },
        access_token: Secret::new(""),
        app_secret: None,
        ..account(7)
    }
}

/// A contact, a conversation and a message with every optional field set.
pub(super) fn full() -> (Contact, Conversation, Message) {
    let contact = Contact {
        name: Some(text("Budi")),
        email: Some(text("budi@example.com")),
        name_origin: NameOrigin::Client,
        metadata: text(r#"{"a":"\u0000\"é😀"}"#),
        identity: Arc::new(full_identity()),
        marketing_opted_out_at: Some(at(17)),
        ..contact(2)
    };
    let conversation = Conversation {
        status: ConversationStatus::Resolved,
        assignee: Some(Arc::new(user())),
        unread_count: u32::MAX,
        last_message_at: Some(at(8)),
        last_inbound_at: Some(at(7)),
        number_named_at: Some(at(6)),
        ..conversation(2, &contact)
    };
    let mut history = StatusHistory::default();
    history.keep_own(MessageStatus::Pending, at(3));
    history.keep_reported(MessageStatus::Failed, at(4));
    history.keep_reported(MessageStatus::Played, at(5));
    let message = Message {
        status: MessageStatus::Failed,
        kind: MessageKind::Interactive,
        wamid: Some(text("wamid.\"x\"")),
        content: text("a\\b\n\t\"c\" 😀 \u{1f}"),
        context: Some(full_context()),
        details: full_details(),
        error: Some(MessageError {
            code: text("whatsapp_error"),
            message: text("no"),
            provider_code: Some(i64::MIN),
        }),
        history,
        attempts: 3,
        next_attempt_at: Some(due_at(11)),
        ..message(2, &conversation)
    };
    (contact, conversation, message)
}
