//! Wire form of the values by which WhatsApp names people, groups and what happened.

use std::borrow::Cow;
use std::fmt::Display;

use kabar_core::domain::address::Address;
use kabar_core::domain::event::EventType;
use kabar_core::domain::identity::{GroupId, UserId};
use kabar_core::domain::status::MessageStatus;
use poem_openapi::registry::MetaSchema;

use super::{WireText, text};
use crate::rest::params::ParameterKind;

impl WireText for UserId {
    fn text(&self) -> impl Display + '_ {
        self.as_str()
    }

    fn schema() -> MetaSchema {
        <Self as ParameterKind>::schema()
    }
}

impl WireText for GroupId {
    fn text(&self) -> impl Display + '_ {
        self.as_str()
    }

    fn schema() -> MetaSchema {
        text()
    }
}

impl WireText for Address {
    fn text(&self) -> impl Display + '_ {
        self.as_str()
    }

    fn schema() -> MetaSchema {
        MetaSchema { example: Some("+6281234567890".into()), ..text() }
    }
}

/// A status in a message's history, where `played` is told apart from `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SightedStatus(pub(crate) MessageStatus);

impl WireText for SightedStatus {
    fn text(&self) -> impl Display + '_ {
        self.0.as_str()
    }

    fn schema() -> MetaSchema {
        let all = MessageStatus::ALL.iter().chain(&[MessageStatus::Played]);
        MetaSchema { enum_items: all.map(|status| status.as_str().into()).collect(), ..text() }
    }
}

/// `type` of an event, in which each field of WhatsApp's has a word of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventTypeName(pub(crate) Cow<'static, str>);

impl WireText for EventTypeName {
    fn text(&self) -> impl Display + '_ {
        &*self.0
    }

    fn schema() -> MetaSchema {
        MetaSchema { example: Some(EventType::MessageStatus.as_str().into()), ..text() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_history_have_one_more_than_those_of_a_message() {
        let words = |schema: MetaSchema| schema.enum_items.len();
        assert_eq!(words(SightedStatus::schema()), words(<MessageStatus as WireText>::schema()) + 1);
        assert!(SightedStatus::schema().enum_items.contains(&"played".into()));
    }
}
