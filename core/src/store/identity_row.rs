//! The JSON in which the store keeps the identity of a contact, and statements about one person.
//!
//! Invariant: parts that are absent take no space. The text is read for every contact and every conversation, so
//! lists take the place of objects.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::row::{RowPlace, RowText};
use crate::domain::identity::{ContactNumber, ContactUserId, GroupId, Identity, Party, UserId, Username};
use crate::domain::phone::Phone;

/// The column.
const COLUMN: &str = "identity";

/// Number, WhatsApp's own form, time from which it holds, newest time at which it was named.
type NumberRow<'a> = (RowText<'a>, Option<RowText<'a>>, i64, i64);
/// User id, and the time from which it holds.
type UserIdRow<'a> = (RowText<'a>, i64);

/// Identity of a contact.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct IdentityRow<'a> {
    /// Numbers, the current one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "n")]
    numbers: Vec<NumberRow<'a>>,
    /// Ids for the business, the current one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "u")]
    user_ids: Vec<UserIdRow<'a>>,
    /// Ids for the portfolio, the current one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "p")]
    parent_user_ids: Vec<UserIdRow<'a>>,
    /// The group's id.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "g")]
    group_id: Option<RowText<'a>>,
    /// Username, and the time at which it was told.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "w")]
    username: Option<UserIdRow<'a>>,
}

fn user_id_rows(ids: &[ContactUserId]) -> Vec<UserIdRow<'_>> {
    ids.iter().map(|known| (known.id.as_str().into(), known.since.millis())).collect()
}

fn read_user_ids(at: RowPlace<'_>, rows: Vec<UserIdRow<'_>>) -> Result<Vec<ContactUserId>, StoreError> {
    let read = |(id, since): UserIdRow<'_>| {
        let id = at.check_value(COLUMN, UserId::parse(&id))?;
        Ok(ContactUserId { id, since: at.check_time(COLUMN, since)? })
    };
    rows.into_iter().map(read).collect()
}

impl<'a> IdentityRow<'a> {
    /// Creates the row of an identity.
    pub(super) fn from_identity(identity: &'a Identity) -> Self {
        let number = |number: &'a ContactNumber| {
            let wa_id = number.wa_id.as_ref().map(|wa_id| wa_id.as_str().into());
            (number.phone.as_str().into(), wa_id, number.since.millis(), number.named_at.millis())
        };
        Self {
            numbers: identity.numbers.iter().map(number).collect(),
            user_ids: user_id_rows(&identity.user_ids),
            parent_user_ids: user_id_rows(&identity.parent_user_ids),
            group_id: identity.group_id.as_ref().map(|id| id.as_str().into()),
            username: identity
                .username
                .as_ref()
                .map(|username| (RowText::Borrowed(&*username.text), username.told_at.millis())),
        }
    }

    /// Reads the column's text.
    pub(super) fn read_text(at: RowPlace<'_>, text: &str) -> Result<Self, StoreError> {
        at.check_value(COLUMN, serde_json::from_str(text).ok())
    }

    /// Converts the row into an identity.
    pub(super) fn into_identity(self, at: RowPlace<'_>) -> Result<Arc<Identity>, StoreError> {
        let number = |(phone, wa_id, since, named_at): NumberRow<'_>| {
            Ok(ContactNumber {
                phone: at.check_phone(COLUMN, &phone)?,
                wa_id: wa_id.map(|wa_id| at.check_phone(COLUMN, &wa_id)).transpose()?,
                since: at.check_time(COLUMN, since)?,
                named_at: at.check_time(COLUMN, named_at)?,
            })
        };
        let username = |(text, told_at): UserIdRow<'_>| {
            Ok::<_, StoreError>(Username { text: text.into(), told_at: at.check_time(COLUMN, told_at)? })
        };
        Ok(Arc::new(Identity {
            numbers: self.numbers.into_iter().map(number).collect::<Result<_, StoreError>>()?,
            user_ids: read_user_ids(at, self.user_ids)?,
            parent_user_ids: read_user_ids(at, self.parent_user_ids)?,
            group_id: self.group_id.map(|id| at.check_value(COLUMN, GroupId::parse(&id))).transpose()?,
            username: self.username.map(username).transpose()?,
        }))
    }
}

/// Statement of one item about a person.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PartyRow<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wa_id: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_user_id: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<RowText<'a>>,
}

impl<'a> PartyRow<'a> {
    /// Creates the row of a statement.
    pub(super) fn from_party(party: &'a Party) -> Self {
        let phone = |phone: &'a Option<Phone>| phone.as_ref().map(|phone| phone.as_str().into());
        let user_id = |id: &'a Option<UserId>| id.as_ref().map(|id| id.as_str().into());
        Self {
            phone: phone(&party.phone),
            wa_id: phone(&party.wa_id),
            user_id: user_id(&party.user_id),
            parent_user_id: user_id(&party.parent_user_id),
            username: party.username.as_deref().map(RowText::Borrowed),
            name: party.name.as_deref().map(RowText::Borrowed),
        }
    }

    /// Converts the row into a statement; the error names this column.
    pub(super) fn into_party(self, at: RowPlace<'_>, column: &str) -> Result<Party, StoreError> {
        let phone = |text: Option<RowText<'_>>| text.map(|text| at.check_phone(column, &text)).transpose();
        let user_id = |text: Option<RowText<'_>>| {
            text.map(|text| at.check_value(column, UserId::parse(&text))).transpose()
        };
        Ok(Party {
            phone: phone(self.phone)?,
            wa_id: phone(self.wa_id)?,
            user_id: user_id(self.user_id)?,
            parent_user_id: user_id(self.parent_user_id)?,
            username: self.username.map(Arc::from),
            name: self.name.map(Arc::from),
        })
    }
}
