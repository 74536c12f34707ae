//! Bodies that connect and change accounts.
//!
//! Secrets go straight into [`Secret`], which no log can show.

use kabar_actors::NewAccount;
use kabar_core::domain::account::{
    Account, AccountPatch, AccountProfile, AccountStatus, PhoneNumberId, Secret,
};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};

const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=200;
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 1..=4096;
const APP_SECRET_CHARS: std::ops::RangeInclusive<usize> = 1..=512;
/// Meta's highest throughput of one number is 1000 messages a second.
const MESSAGES_PER_SECOND: std::ops::RangeInclusive<i64> = 1..=1000;

/// A number to connect.
#[derive(Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct ConnectAccount {
    /// WhatsApp's id of the number: 6 to 20 digits.
    #[oai(validator(min_length = 6, max_length = 20))]
    pub(crate) phone_number_id: String,
    /// The number, E.164, with or without `+`.
    pub(crate) phone_number: String,
    /// Display name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) name: Option<String>,
    /// WhatsApp's id of the business account that the number belongs to. It is learned from the first webhook that
    /// names both, too.
    #[oai(validator(min_length = 1, max_length = 32, pattern = "^[0-9]+$"))]
    pub(crate) waba_id: Option<String>,
    /// Bearer token for WhatsApp's API. Never shown again.
    #[oai(validator(min_length = 1, max_length = 4096))]
    pub(crate) access_token: String,
    /// Signature key of its webhooks, where it differs from the server's. Never shown again.
    #[oai(validator(min_length = 1, max_length = 512))]
    pub(crate) app_secret: Option<String>,
}

/// A status that the operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum SettableAccountStatus {
    /// May send.
    Connected,
    /// Sends nothing.
    Disconnected,
}

/// Changes of an account. Absent and null fields stay unchanged.
#[derive(Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct UpdateAccount {
    /// The new status.
    pub(crate) status: Option<SettableAccountStatus>,
    /// A new token; it makes a `degraded` account `connected` unless `status` says otherwise.
    #[oai(validator(min_length = 1, max_length = 4096))]
    pub(crate) access_token: Option<String>,
    /// A new signature key of its webhooks.
    #[oai(validator(min_length = 1, max_length = 512))]
    pub(crate) app_secret: Option<String>,
    /// Send rate; 80 until changed.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    pub(crate) messages_per_second: Option<u32>,
}

impl Example for ConnectAccount {
    fn example() -> Self {
        Self {
            phone_number_id: "106540352242922".to_owned(),
            phone_number: "+447700900100".to_owned(),
            name: Some("Front desk".to_owned()),
            waba_id: Some("102290129340398".to_owned()),
            access_token: "the-token-from-whatsapp".to_owned(),
            app_secret: None,
        }
    }
}

impl Example for UpdateAccount {
    fn example() -> Self {
        let (status, access_token, app_secret) = (None, None, None);
        Self { status, access_token, app_secret, messages_per_second: Some(200) }
    }
}

/// Reads `POST /admin/v1/organizations/{org_id}/accounts`.
pub(super) fn read_new(body: &Value) -> Result<NewAccount, FieldError> {
    let fields = BodyFields::of_body(body)?;
    Ok(NewAccount {
        phone_number_id: fields.word("phone_number_id", "6 to 20 digits", PhoneNumberId::parse)?,
        phone: fields.phone("phone_number")?,
        name: fields.optional_text("name", &NAME_CHARS)?.map(Into::into),
        waba_id: fields.optional_word("waba_id", "1 to 32 digits", AccountProfile::parse_waba_id)?,
        access_token: read_token(&fields, fields.text("access_token", &TOKEN_CHARS)?)?,
        app_secret: fields.optional_text("app_secret", &APP_SECRET_CHARS)?.map(Secret::new),
    })
}

/// Reads `PATCH /admin/v1/accounts/{phone_number_id}` for the current account. A new token ends the
/// `degraded` status that its predecessor caused.
pub(super) fn read_patch(body: &Value, current: &Account) -> Result<AccountPatch, FieldError> {
    let fields = BodyFields::of_body(body)?;
    let settable = |text: &str| {
        let status = AccountStatus::parse(text)?;
        matches!(status, AccountStatus::Connected | AccountStatus::Disconnected).then_some(status)
    };
    let status = fields.optional_word("status", "connected or disconnected", settable)?;
    let access_token = fields.optional_text("access_token", &TOKEN_CHARS)?;
    let access_token = access_token.map(|token| read_token(&fields, token)).transpose()?;
    let app_secret = fields.optional_text("app_secret", &APP_SECRET_CHARS)?.map(Secret::new);
    let pace = fields.optional_integer("messages_per_second", &MESSAGES_PER_SECOND)?;
    let cured = access_token.is_some() && current.status == AccountStatus::Degraded;
    Ok(AccountPatch {
        status: status.or(cured.then_some(AccountStatus::Connected)),
        access_token,
        app_secret,
        messages_per_second: pace.and_then(|pace| u32::try_from(pace).ok()),
        ..AccountPatch::default()
    })
}

/// Reads a token. It travels in a header: a blank or a line break copied along would break every call to WhatsApp.
fn read_token(fields: &BodyFields<'_>, token: &str) -> Result<Secret, FieldError> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::new(token))
    } else {
        Err(fields.invalid("access_token", "visible ASCII characters, without blanks"))
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::phone::Phone;
    use kabar_core::domain::time::Timestamp;
    use kabar_core::ids::{AccountId, OrganisationId};
    use serde_json::json;

    use super::*;
    use crate::rest::body_fields::FieldErrorKind;

    fn new(change: &Value) -> Value {
        let mut body =
            json!({"phone_number_id": "123456", "phone_number": "+6281234567890", "access_token": "EAAG"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    }

    fn standing(status: AccountStatus) -> Account {
        Account {
            id: AccountId::from_bits(1),
            number: 1,
            organisation_id: OrganisationId::from_bits(1),
            phone_number_id: PhoneNumberId::parse("123456").unwrap(),
            phone: Phone::parse("+6281234567890").unwrap(),
            name: None,
            status,
            status_reason: None,
            recovery: None,
            profile: AccountProfile::default(),
            access_token: Secret::new("old"),
            app_secret: None,
            messages_per_second: 80,
            sandbox: false,
            created_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn the_bounds_are_accepted() {
        for change in [
            json!({}),
            json!({"name": null, "app_secret": null, "waba_id": null}),
            json!({"waba_id": "1".repeat(32)}),
            json!({"name": "a".repeat(200), "app_secret": "a".repeat(512), "access_token": "a".repeat(4096)}),
            json!({"phone_number_id": "1".repeat(20), "phone_number": "62 812-3456-7890"}),
        ] {
            assert!(read_new(&new(&change)).is_ok(), "{change}");
        }
    }

    #[test]
    fn refusals_name_their_field() {
        use FieldErrorKind::{InvalidFieldValue, InvalidPhoneNumber, MissingRequiredField};
        for (change, code, param) in [
            (json!({"phone_number_id": null}), MissingRequiredField, "phone_number_id"),
            (json!({"phone_number_id": "12345"}), InvalidFieldValue, "phone_number_id"),
            (json!({"phone_number_id": 123_456}), InvalidFieldValue, "phone_number_id"),
            (json!({"phone_number": null}), MissingRequiredField, "phone_number"),
            (json!({"phone_number": "x"}), InvalidPhoneNumber, "phone_number"),
            (json!({"access_token": null}), MissingRequiredField, "access_token"),
            (json!({"access_token": ""}), InvalidFieldValue, "access_token"),
            (json!({"access_token": "EAAG\n"}), InvalidFieldValue, "access_token"),
            (json!({"access_token": "a".repeat(4097)}), InvalidFieldValue, "access_token"),
            (json!({"app_secret": "a".repeat(513)}), InvalidFieldValue, "app_secret"),
            (json!({"name": "a".repeat(201)}), InvalidFieldValue, "name"),
            (json!({"waba_id": "1".repeat(33)}), InvalidFieldValue, "waba_id"),
            (json!({"waba_id": "0"}), InvalidFieldValue, "waba_id"),
            (json!({"waba_id": 77}), InvalidFieldValue, "waba_id"),
        ] {
            let error = read_new(&new(&change)).unwrap_err();
            assert_eq!((error.code, error.param.as_str()), (code, param), "{change}");
        }
    }

    #[test]
    fn a_patch_sets_only_what_it_names() {
        let read = |body, status| read_patch(&body, &standing(status));
        assert_eq!(read(json!({}), AccountStatus::Connected), Ok(AccountPatch::default()));
        let pace = read(json!({"messages_per_second": 1000}), AccountStatus::Connected).unwrap();
        assert_eq!(pace, AccountPatch { messages_per_second: Some(1000), ..AccountPatch::default() });
        for (body, param) in [
            (json!({"status": "degraded"}), "status"),
            (json!({"status": "onboarding"}), "status"),
            (json!({"messages_per_second": 0}), "messages_per_second"),
            (json!({"messages_per_second": 1001}), "messages_per_second"),
        ] {
            assert_eq!(read(body, AccountStatus::Connected).unwrap_err().param, param);
        }
    }

    #[test]
    fn a_new_token_cures_a_degraded_account_unless_told_otherwise() {
        let status = |body, standing_as| read_patch(&body, &standing(standing_as)).unwrap().status;
        let token = || json!({"access_token": "EAAG"});
        assert_eq!(status(token(), AccountStatus::Degraded), Some(AccountStatus::Connected));
        assert_eq!(status(token(), AccountStatus::Disconnected), None);
        assert_eq!(status(json!({"messages_per_second": 5}), AccountStatus::Degraded), None);
        let told = json!({"access_token": "EAAG", "status": "disconnected"});
        assert_eq!(status(told, AccountStatus::Degraded), Some(AccountStatus::Disconnected));
    }
}
