//! The kinds of parameters: ids, words, limits, instants, cursors.
//!
//! One list of the accepted values, for requests and for the document.

use std::sync::Arc;

use kabar_core::domain::account::{AccountStatus, PhoneNumberId};
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::delivery::DeliveryStatus;
use kabar_core::domain::event::{EventType, EventTypes};
use kabar_core::domain::identity::UserId as WhatsAppUserId;
use kabar_core::domain::message::Direction;
use kabar_core::domain::page::PageLimit;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::time::TimeBound;
use kabar_core::ids::{
    ApiKeyId, ContactId, ConversationId, DeliveryId, MessageId, OperatorTokenId, OrganisationId, PluginId,
    RunId, SubscriptionId,
};
use poem_openapi::registry::MetaSchema;

use super::ParameterKind;
use crate::rest::error::ErrorCode;

/// A cursor as it came; the list that it is for verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CursorText(pub(crate) String);

/// Longest accepted cursor; those of this server have 54 characters.
const CURSOR_CHARS: usize = 256;

impl ParameterKind for CursorText {
    const EXPECTED: &'static str = "the next_cursor of a page of this very list";
    const CODE: ErrorCode = ErrorCode::InvalidCursor;

    fn read(text: &str) -> Option<Self> {
        (1..=CURSOR_CHARS).contains(&text.len()).then(|| Self(text.to_owned()))
    }

    fn schema() -> MetaSchema {
        MetaSchema { min_length: Some(1), max_length: Some(CURSOR_CHARS), ..MetaSchema::new("string") }
    }
}

/// A text to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SearchText(pub(crate) Arc<str>);

const SEARCH_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

impl ParameterKind for SearchText {
    const EXPECTED: &'static str = "a text of 1 to 200 characters";

    fn read(text: &str) -> Option<Self> {
        // No stored text holds a NUL, and PostgreSQL rejects one in a query.
        let usable = SEARCH_CHARS.contains(&text.chars().count()) && !text.contains('\0');
        usable.then(|| Self(text.into()))
    }

    fn schema() -> MetaSchema {
        MetaSchema { min_length: Some(1), max_length: Some(200), ..MetaSchema::new("string") }
    }
}

/// A text without meaning to this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpaqueText(pub(crate) String);

/// Longest accepted text; far more than Meta sends.
const TEXT_CHARS: usize = 1024;

impl ParameterKind for OpaqueText {
    const EXPECTED: &'static str = "a text of at most 1024 characters";

    fn read(text: &str) -> Option<Self> {
        (text.len() <= TEXT_CHARS).then(|| Self(text.to_owned()))
    }

    fn schema() -> MetaSchema {
        MetaSchema { max_length: Some(TEXT_CHARS), ..MetaSchema::new("string") }
    }
}

/// A number in an account's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceNumber(i64);

impl SequenceNumber {
    /// Returns the number, 0 or more.
    #[must_use]
    pub(crate) const fn number(self) -> i64 {
        self.0
    }
}

impl ParameterKind for SequenceNumber {
    const EXPECTED: &'static str = "0 or the number of an event";
    const ECHOED: bool = true;

    fn read(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(Self)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            format: Some("int64"),
            minimum: Some(0.0),
            default: Some(0.into()),
            ..MetaSchema::new("integer")
        }
    }
}

/// Longest accepted list; a longer one repeats its types.
const TYPES_CHARS: usize = 1024;

impl ParameterKind for EventTypes {
    const EXPECTED: &'static str =
        "types of events, separated by commas, such as message.received,message.status";

    fn read(text: &str) -> Option<Self> {
        let usable = text.len() <= TYPES_CHARS;
        text.split(',').map(EventType::parse).collect::<Option<Self>>().filter(|_| usable)
    }

    fn schema() -> MetaSchema {
        let words: Vec<&str> = EventType::ALL.iter().map(|one| one.as_str()).collect();
        let one = words.join("|").replace('.', "\\.");
        MetaSchema {
            pattern: Some(format!("^({one})(,({one}))*$")),
            max_length: Some(TYPES_CHARS),
            example: Some("message.received,message.status".into()),
            ..MetaSchema::new("string")
        }
    }
}

impl ParameterKind for PageLimit {
    const EXPECTED: &'static str = "1 to 100";
    const CODE: ErrorCode = ErrorCode::InvalidLimit;
    const ECHOED: bool = true;

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().and_then(Self::new)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            format: Some("int32"),
            minimum: Some(1.0),
            maximum: Some(100.0),
            default: Some(25.into()),
            ..MetaSchema::new("integer")
        }
    }
}

impl ParameterKind for TimeBound {
    const EXPECTED: &'static str = "an instant in RFC 3339, such as 2026-06-19T11:00:00.000Z";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn schema() -> MetaSchema {
        MetaSchema { format: Some("date-time"), ..MetaSchema::new("string") }
    }
}

impl ParameterKind for Phone {
    const EXPECTED: &'static str = "a number in E.164 form, such as +6281234567890";
    const CODE: ErrorCode = ErrorCode::InvalidPhoneNumber;

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn schema() -> MetaSchema {
        MetaSchema { example: Some("+6281234567890".into()), ..MetaSchema::new("string") }
    }
}

impl ParameterKind for WhatsAppUserId {
    const EXPECTED: &'static str = "WhatsApp's id of a user, such as ID.13491208655302741";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[A-Z]{2}\\.[!-~]{1,128}$".to_owned()),
            example: Some("ID.13491208655302741".into()),
            ..MetaSchema::new("string")
        }
    }
}

impl ParameterKind for PhoneNumberId {
    const EXPECTED: &'static str = "6 to 20 digits";
    const SEGMENT: &'static str = "phone_number_id";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[0-9]{6,20}$".to_owned()),
            example: Some("106540352242922".into()),
            ..MetaSchema::new("string")
        }
    }
}

macro_rules! words {
    ($($kind:ident = $expected:literal;)*) => {$(
        impl ParameterKind for $kind {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Option<Self> {
                Self::parse(text)
            }

            fn schema() -> MetaSchema {
                let words = $expected.split([',', ' ']).filter(|word| !matches!(*word, "" | "or"));
                MetaSchema { enum_items: words.map(Into::into).collect(), ..MetaSchema::new("string") }
            }
        }
    )*};
}

words! {
    ConversationStatus = "open, pending or resolved";
    MessageStatus = "received, pending, sent, failed, delivered or read";
    Direction = "inbound or outbound";
    AccountStatus = "connected, disconnected, degraded or onboarding";
    DeliveryStatus = "pending, delivered, failed or dead";
    EventType = "message.received, message.created, message.sent, message.status, conversation.created, \
                 conversation.assigned, conversation.closed, conversation.updated, contact.created, \
                 contact.updated, message.edited, message.revoked, message.status_reported, contact.identity_updated, \
                 conversation.merged, contact.deleted, conversation.deleted, account.updated, \
                 template.created, template.updated, template.deleted or whatsapp.*";
}

macro_rules! ids {
    ($($kind:ident = $prefix:literal, $segment:literal;)*) => {$(
        impl ParameterKind for $kind {
            const EXPECTED: &'static str =
                concat!($prefix, "_ and 26 characters of 0-9 and A-Z without I, L, O and U");
            const SEGMENT: &'static str = $segment;

            fn read(text: &str) -> Option<Self> {
                Self::parse(text).ok()
            }

            fn schema() -> MetaSchema {
                MetaSchema {
                    pattern: Some(id_pattern($prefix)),
                    example: Some(concat!($prefix, "_01J0QF3Z5W8V9T4KXN2M6PBRHC").into()),
                    ..MetaSchema::new("string")
                }
            }
        }
    )*};
}

ids! {
    ConversationId = "cnv", "conversation_id";
    MessageId = "msg", "message_id";
    ContactId = "ctc", "contact_id";
    OrganisationId = "org", "org_id";
    ApiKeyId = "key", "key_id";
    OperatorTokenId = "opt", "token_id";
    SubscriptionId = "wbs", "subscription_id";
    DeliveryId = "wbd", "delivery_id";
    PluginId = "plg", "plugin_id";
    RunId = "run", "run_id";
}

/// Returns the contract's pattern of an id (section 1).
pub(crate) fn id_pattern(prefix: &str) -> String {
    format!("^{prefix}_[0-9A-HJKMNP-TV-Z]{{26}}$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_words_are_the_words() {
        fn check<T: ParameterKind>(count: usize) {
            let words = T::schema().enum_items;
            assert_eq!(words.len(), count);
            for word in words {
                assert!(T::read(word.as_str().unwrap()).is_some(), "{word}");
            }
        }
        check::<ConversationStatus>(ConversationStatus::ALL.len());
        check::<MessageStatus>(MessageStatus::ALL.len());
        check::<AccountStatus>(AccountStatus::ALL.len());
        check::<Direction>(2);
        check::<DeliveryStatus>(DeliveryStatus::ALL.len());
        check::<EventType>(EventType::ALL.len());
    }

    #[test]
    fn types_are_words_between_commas() {
        for text in ["", ",", "message", "message.sent,", " message.sent", "message.sent,x", "Message.sent"] {
            assert!(EventTypes::read(text).is_none(), "{text}");
        }
        let some = EventTypes::read("message.sent,contact.created,message.sent").unwrap();
        assert_eq!(some.iter().collect::<Vec<_>>(), [EventType::MessageSent, EventType::ContactCreated]);
        let fields = EventTypes::read("whatsapp.*").unwrap();
        assert_eq!(fields.iter().collect::<Vec<_>>(), [EventType::WhatsAppField]);
        assert!(EventTypes::read("whatsapp.calls").is_none() && EventTypes::read("message.*").is_none());
        let all: Vec<&str> = EventType::ALL.iter().map(|one| one.as_str()).collect();
        assert_eq!(EventTypes::read(&all.join(",")), Some(EventTypes::all_types()));
        assert!(EventTypes::read(&["message.sent"; 100].join(",")).is_none());
    }

    #[test]
    fn positions_are_whole_numbers() {
        for text in ["", "-1", "+1", "1.0", "1e3", "9223372036854775808", " 1", "0x1"] {
            assert!(SequenceNumber::read(text).is_none(), "{text}");
        }
        assert_eq!(SequenceNumber::read("007").map(SequenceNumber::number), Some(7));
    }

    #[test]
    fn user_ids_have_a_country() {
        for text in ["ID.1", "BR.ENT.83748937", &format!("US.{}", "9".repeat(128))] {
            assert!(<WhatsAppUserId as ParameterKind>::read(text).is_some(), "{text}");
        }
        for text in ["", "id.1", "ID.", "6281234567890", "ID.a b", &format!("US.{}", "9".repeat(129))] {
            assert!(<WhatsAppUserId as ParameterKind>::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn searches_count_characters() {
        assert!(SearchText::read(&"é".repeat(200)).is_some());
        assert!(SearchText::read(&"é".repeat(201)).is_none());
        assert!(SearchText::read("").is_none() && SearchText::read("a\0").is_none());
    }
}
