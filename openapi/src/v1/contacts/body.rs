//! Body of a contact.

use std::fmt::Display;
use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::identity::{ContactKind, Identifier, UserId};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::ContactId;
use poem_openapi::Object;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::Example;
use serde::Serialize;

use crate::rest::text::{FreeObject, TextValue, WireText, nouns};
use crate::v1::conversations::body::WhatsAppNumber;

nouns! {
    /// `object` of a contact.
    ContactNoun = "contact";
}

/// A person, business or group that exchanges messages with one connected number.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Contact", example)]
pub(crate) struct ContactBody {
    /// `ctc_…`.
    pub(crate) id: TextValue<ContactId>,
    /// Always `contact`.
    pub(crate) object: TextValue<ContactNoun>,
    /// The current number, E.164; null where WhatsApp does not name one.
    pub(crate) phone_number: Option<TextValue<Phone>>,
    /// WhatsApp's id of the user for this business, the newest one told.
    pub(crate) user_id: Option<TextValue<UserId>>,
    /// The user's name at WhatsApp, without `@`.
    pub(crate) username: Option<TextValue<Arc<str>>>,
    /// `person`, or `group` for a group of WhatsApp's.
    pub(crate) kind: TextValue<ContactKind>,
    /// All identifiers; each belongs to one contact of the account.
    pub(crate) identifiers: Vec<IdentifierBody>,
    /// Given by the business, or else WhatsApp's profile name.
    pub(crate) name: Option<TextValue<Arc<str>>>,
    /// The email address.
    pub(crate) email: Option<TextValue<Arc<str>>>,
    /// The business's own fields; `{}` when it has none.
    pub(crate) metadata: FreeObject,
    /// Time at which the person stopped marketing messages, by WhatsApp's own time; null while they are accepted.
    pub(crate) marketing_opted_out_at: Option<TextValue<Timestamp>>,
    /// The contact that this one was found to be the same person as; it took over everything.
    pub(crate) merged_into: Option<TextValue<ContactId>>,
    /// The connected number that it belongs to.
    pub(crate) whatsapp_account: WhatsAppNumber,
    /// Account clock.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Account clock; moves with every change that this object shows.
    pub(crate) updated_at: TextValue<Timestamp>,
}

/// An identifier by which WhatsApp names a contact.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Identifier", example)]
pub(crate) struct IdentifierBody {
    /// `phone_number`; `wa_id`, WhatsApp's own form of a number, where its digits differ; `user_id`, for this
    /// business; `parent_user_id`, for a portfolio of businesses; or `group_id`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: TextValue<IdentifierType>,
    /// The identifier: a number has a `+`, a `wa_id` has none.
    value: TextValue<Arc<str>>,
}

/// `type` of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IdentifierType(&'static str);

impl WireText for IdentifierType {
    fn text(&self) -> impl Display + '_ {
        self.0
    }

    fn schema() -> MetaSchema {
        let words = ["phone_number", "wa_id", "user_id", "parent_user_id", "group_id"];
        MetaSchema { enum_items: words.map(Into::into).to_vec(), ..MetaSchema::new("string") }
    }
}

impl IdentifierBody {
    /// Builds the body of an identifier.
    #[must_use]
    pub(crate) fn from_identifier(identifier: &Identifier) -> Self {
        let (kind, value) = identifier.type_and_value();
        Self { kind: TextValue(IdentifierType(kind)), value: TextValue(value.into()) }
    }
}

impl Example for IdentifierBody {
    fn example() -> Self {
        let (kind, value) = ("phone_number", "+447700900123");
        Self { kind: TextValue(IdentifierType(kind)), value: TextValue(value.into()) }
    }
}

impl ContactBody {
    /// Builds the body of a contact of this account.
    #[must_use]
    pub(crate) fn from_contact(account: &Account, contact: &Contact) -> Self {
        Self {
            id: TextValue(contact.id),
            object: TextValue(ContactNoun),
            phone_number: contact.identity.phone().cloned().map(TextValue),
            user_id: contact.identity.user_id().cloned().map(TextValue),
            username: contact.identity.username.as_ref().map(|username| TextValue(username.text.clone())),
            kind: TextValue(contact.kind),
            identifiers: contact.identity.identifiers().iter().map(IdentifierBody::from_identifier).collect(),
            name: contact.name.clone().map(TextValue),
            email: contact.email.clone().map(TextValue),
            metadata: FreeObject(contact.metadata.clone()),
            marketing_opted_out_at: contact.marketing_opted_out_at.map(TextValue),
            merged_into: contact.merged_into.map(TextValue),
            whatsapp_account: WhatsAppNumber::from_account(account),
            created_at: TextValue(contact.created_at),
            updated_at: TextValue(contact.updated_at),
        }
    }
}

impl Example for ContactBody {
    fn example() -> Self {
        Self::from_contact(
            &crate::spec::example_rows::example_account(),
            &crate::spec::example_rows::example_contact(),
        )
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::identity::{GroupId, Identity, Party};
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::example_rows;

    fn shown(contact: &Contact) -> Value {
        serde_json::to_value(ContactBody::from_contact(&example_rows::example_account(), contact)).unwrap()
    }

    #[test]
    fn every_identifier_is_listed_and_the_newest_ones_stand_alone() {
        let mut identity = Identity::default();
        let at = Timestamp::from_millis;
        let party = |phone: Option<&str>, wa_id: Option<&str>, user_id: &str| {
            let mut party = Party {
                phone: phone.and_then(Phone::parse),
                wa_id: wa_id.and_then(Phone::parse),
                username: Some("joana".into()),
                ..Party::default()
            };
            party.state_user_id(UserId::parse(user_id).unwrap());
            party
        };
        identity.learn_party(&party(Some("+5541998765432"), Some("554198765432"), "BR.1"), at(1));
        identity.learn_party(&party(None, None, "BR.2"), at(2));
        identity.learn_party(&party(None, None, "BR.ENT.3"), at(3));
        let contact = Contact { identity: identity.into(), ..example_rows::example_contact() };
        let body = shown(&contact);
        assert_eq!(
            (&body["phone_number"], &body["user_id"], &body["username"], &body["kind"]),
            (&json!("+5541998765432"), &json!("BR.2"), &json!("joana"), &json!("person"))
        );
        let identifiers = json!([
            {"type": "phone_number", "value": "+5541998765432"},
            {"type": "wa_id", "value": "554198765432"},
            {"type": "user_id", "value": "BR.2"},
            {"type": "user_id", "value": "BR.1"},
            {"type": "parent_user_id", "value": "BR.ENT.3"},
        ]);
        assert_eq!(body["identifiers"], identifiers);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let group = Contact {
            kind: ContactKind::Group,
            identity: Identity::of_group(GroupId::parse("120363041234").unwrap()).into(),
            marketing_opted_out_at: None,
            merged_into: Some(ContactId::from_bits(7)),
            ..example_rows::example_contact()
        };
        let body = shown(&group);
        for key in ["phone_number", "user_id", "username", "marketing_opted_out_at"] {
            assert_eq!(body[key], Value::Null, "{key}");
        }
        assert_eq!(body["kind"], "group");
        assert_eq!(body["identifiers"], json!([{"type": "group_id", "value": "120363041234"}]));
        assert_eq!(body["merged_into"], ContactId::from_bits(7).to_string());
    }
}
