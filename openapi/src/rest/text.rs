//! Wire form of the domain's values: ids, instants, numbers and words as texts.
//!
//! Invariant: a value is written without a copy, and its schema stands beside it. Nothing is parsed back:
//! `body_fields` reads request bodies.

mod free_list;
mod whatsapp;

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use kabar_core::domain::account::{AccountStatus, PhoneNumberId};
use kabar_core::domain::allowed_hosts::HostPattern;
use kabar_core::domain::audit::{AuditAction, AuditTargetKind};
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::delivery::DeliveryStatus;
use kabar_core::domain::effect::EffectStatus;
use kabar_core::domain::event::EventType;
use kabar_core::domain::identity::ContactKind;
use kabar_core::domain::message::{Direction, MessageKind};
use kabar_core::domain::message_details::{MessageSource, ReactionSide};
use kabar_core::domain::organisation::PriceTier;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::plugin::{Capability, PluginState};
use kabar_core::domain::principal::PrincipalKind;
use kabar_core::domain::run::LogLevel;
use kabar_core::domain::scopes::{KeyScope, OperatorScope};
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::subscription::{SubscriptionStatus, WebhookFormat};
use kabar_core::domain::template::TemplateStatus;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{
    AccountId, ApiKeyId, AuditEntryId, ContactId, ConversationId, DeliveryId, EventId, MessageId,
    OperatorTokenId, OrganisationId, PluginId, PluginVersionId, RunId, SigningSecretId, SubscriptionId,
    TemplateId, UserId,
};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) use self::free_list::FreeList;
pub(crate) use self::whatsapp::{EventTypeName, SightedStatus};
use crate::rest::params::{ParameterKind, id_pattern};

/// A value with a text as its wire form.
pub(crate) trait WireText: Send + Sync {
    /// Returns the text.
    fn text(&self) -> impl Display + '_;

    /// Returns the schema.
    fn schema() -> MetaSchema;
}

/// A value written as its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextValue<T>(pub(crate) T);

impl<T: WireText> Serialize for TextValue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.text())
    }
}

impl<T: WireText> Type for TextValue<T> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "text".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(T::schema()))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: WireText> ToJSON for TextValue<T> {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.0.text().to_string()))
    }
}

/// poem-openapi requires it of every member of an object; responses are never parsed.
impl<T: WireText> ParseFromJSON for TextValue<T> {
    fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::custom("answers are not read"))
    }
}

fn text() -> MetaSchema {
    MetaSchema::new("string")
}

impl WireText for Arc<str> {
    fn text(&self) -> impl Display + '_ {
        &**self
    }

    fn schema() -> MetaSchema {
        text()
    }
}

impl WireText for HostPattern {
    fn text(&self) -> impl Display + '_ {
        self.as_str()
    }

    fn schema() -> MetaSchema {
        text()
    }
}

impl WireText for IpAddr {
    fn text(&self) -> impl Display + '_ {
        self
    }

    fn schema() -> MetaSchema {
        MetaSchema { example: Some("203.0.113.7".into()), ..text() }
    }
}

impl WireText for AuditAction {
    fn text(&self) -> impl Display + '_ {
        self.as_str()
    }

    fn schema() -> MetaSchema {
        MetaSchema { example: Some(Self::ApiKeyCreated.as_str().into()), ..text() }
    }
}

impl WireText for AuditTargetKind {
    fn text(&self) -> impl Display + '_ {
        self.as_str()
    }

    fn schema() -> MetaSchema {
        MetaSchema { example: Some(Self::ApiKey.as_str().into()), ..text() }
    }
}

impl WireText for Timestamp {
    fn text(&self) -> impl Display + '_ {
        self
    }

    fn schema() -> MetaSchema {
        MetaSchema { format: Some("date-time"), example: Some("2026-06-19T11:00:00.000Z".into()), ..text() }
    }
}

impl WireText for Phone {
    fn text(&self) -> impl Display + '_ {
        self
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^\\+[1-9][0-9]{6,14}$".to_owned()),
            example: Some("+6281234567890".into()),
            ..text()
        }
    }
}

impl WireText for PhoneNumberId {
    fn text(&self) -> impl Display + '_ {
        self
    }

    fn schema() -> MetaSchema {
        <Self as ParameterKind>::schema()
    }
}

macro_rules! shown_ids {
    ($($kind:ident),*) => {$(
        impl WireText for $kind {
            fn text(&self) -> impl Display + '_ {
                self
            }

            fn schema() -> MetaSchema {
                let example = format!("{}_01J0QF3Z5W8V9T4KXN2M6PBRHC", Self::PREFIX);
                MetaSchema { pattern: Some(id_pattern(Self::PREFIX)), example: Some(example.into()), ..text() }
            }
        }
    )*};
}

shown_ids!(
    ConversationId,
    MessageId,
    ContactId,
    TemplateId,
    UserId,
    AccountId,
    OrganisationId,
    ApiKeyId,
    OperatorTokenId,
    AuditEntryId,
    EventId,
    SubscriptionId,
    SigningSecretId,
    DeliveryId,
    PluginId,
    PluginVersionId,
    RunId
);

macro_rules! shown_words {
    ($($kind:ident: $all:expr;)*) => {$(
        impl WireText for $kind {
            fn text(&self) -> impl Display + '_ {
                self.as_str()
            }

            fn schema() -> MetaSchema {
                MetaSchema { enum_items: $all.iter().map(|word| word.as_str().into()).collect(), ..text() }
            }
        }
    )*};
}

shown_words! {
    ConversationStatus: ConversationStatus::ALL;
    MessageStatus: MessageStatus::ALL;
    MessageKind: MessageKind::ALL;
    TemplateStatus: TemplateStatus::ALL;
    Direction: [Direction::Inbound, Direction::Outbound];
    MessageSource: MessageSource::ALL;
    ReactionSide: [ReactionSide::Contact, ReactionSide::Business];
    ContactKind: [ContactKind::Person, ContactKind::Group];
    AccountStatus: AccountStatus::ALL;
    PriceTier: PriceTier::ALL;
    KeyScope: KeyScope::ALL;
    OperatorScope: OperatorScope::ALL;
    PrincipalKind: PrincipalKind::ALL;
    EventType: EventType::ALL;
    SubscriptionStatus: SubscriptionStatus::ALL;
    WebhookFormat: WebhookFormat::ALL;
    DeliveryStatus: DeliveryStatus::ALL;
    PluginState: PluginState::ALL;
    Capability: Capability::ALL;
    EffectStatus: EffectStatus::ALL;
    LogLevel: LogLevel::ALL;
}

/// Makes the values of the member `object`: `nouns! { /// Why. UserNoun = "user"; }`
macro_rules! nouns {
    ($($(#[$doc:meta])* $noun:ident = $word:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $noun;

        impl $crate::rest::text::WireText for $noun {
            fn text(&self) -> impl std::fmt::Display + '_ {
                $word
            }

            fn schema() -> poem_openapi::registry::MetaSchema {
                $crate::rest::text::word_schema($word)
            }
        }
    )*};
}
pub(crate) use nouns;

/// Returns the schema of a text that has one value.
pub(crate) fn word_schema(word: &'static str) -> MetaSchema {
    MetaSchema { enum_items: vec![word.into()], ..text() }
}

/// A JSON object that is kept as text and passed through untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FreeObject(pub(crate) Arc<str>);

impl Serialize for FreeObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The store holds only JSON that this server wrote, so anything else is damage; one damaged row does
        // not fail a list.
        // Line breaks between its tokens would break the lines of a stream; within texts they are escaped.
        let text = if self.0.contains(['\n', '\r']) {
            Cow::Owned(self.0.replace(['\n', '\r'], " "))
        } else {
            Cow::Borrowed(&*self.0)
        };
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(raw) => raw.serialize(serializer),
            Err(_damaged) => serializer.collect_map(std::iter::empty::<(&str, &str)>()),
        }
    }
}

impl Type for FreeObject {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "object".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let anything = Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))));
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            additional_properties: anything,
            ..MetaSchema::new("object")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for FreeObject {
    fn to_json(&self) -> Option<Value> {
        Some(serde_json::from_str(&self.0).unwrap_or_else(|_damaged| Value::Object(serde_json::Map::new())))
    }
}

/// As for [`TextValue`].
impl ParseFromJSON for FreeObject {
    fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::custom("answers are not read"))
    }
}

/// Returns bytes in hexadecimal digits.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_texts_and_free_objects_stay_as_they_are() {
        let json = |value: &dyn erased::Json| value.json();
        assert_eq!(json(&TextValue(Timestamp::EPOCH)), r#""1970-01-01T00:00:00.000Z""#);
        assert_eq!(json(&TextValue(Direction::Inbound)), r#""inbound""#);
        assert_eq!(json(&FreeObject(r#"{"b":1.50,"a":"\u00e9"}"#.into())), r#"{"b":1.50,"a":"\u00e9"}"#);
        assert_eq!(json(&FreeObject("{broken".into())), "{}");
        assert_eq!(json(&FreeObject("{\r\n\"a\": \"b\\n\"\n}".into())), r#"{  "a": "b\n" }"#);
    }

    mod erased {
        pub(super) trait Json {
            fn json(&self) -> String;
        }
        impl<T: serde::Serialize> Json for T {
            fn json(&self) -> String {
                serde_json::to_string(self).unwrap()
            }
        }
    }
}
