//! Meta's error numbers: the contract's word for each, and its class for retries.
//!
//! Source of the numbers: "Error codes" of Meta's Cloud API documentation, and the contract's section 8.
//! Invariant: a number that is not listed here is permanent and called `whatsapp_error`. The sender decides
//! when to try again.

use std::sync::Arc;

use serde_json::Value;

use super::content::{bound_text, one_line};
use crate::domain::message::MessageError;

/// Texts of errors are shown to people; longer texts add nothing.
const MESSAGE_CHARS_MAX: usize = 1000;

/// Consequence of an error for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same call may succeed later.
    Transient,
    /// The account calls too often, regardless of the recipient: the app's rate of calls (4), the business
    /// account's (80007), or the number's throughput (130429). The same call may succeed later.
    AccountRate,
    /// Too many messages to this one recipient (131056). The same call may succeed later.
    PairRate,
    /// WhatsApp refuses the account, whatever it sends: its token, its permissions, its bill or its state.
    AccountRefused,
    /// The same call always ends the same way.
    Permanent,
}

/// Returns the class of this number of Meta's.
#[must_use]
pub const fn classify_code(provider_code: i64) -> ErrorClass {
    match provider_code {
        1 | 2 | 131_000 | 131_016 => ErrorClass::Transient,
        4 | 80_007 | 130_429 => ErrorClass::AccountRate,
        131_056 => ErrorClass::PairRate,
        0 | 3 | 10 | 190 | 200..=299 | 368 | 131_005 | 131_031 | 131_037 | 131_042 | 131_045 | 133_010 => {
            ErrorClass::AccountRefused
        }
        _ => ErrorClass::Permanent,
    }
}

/// Returns `true` when the same call may succeed later.
#[must_use]
pub const fn is_transient(provider_code: i64) -> bool {
    matches!(
        classify_code(provider_code),
        ErrorClass::Transient | ErrorClass::AccountRate | ErrorClass::PairRate
    )
}

/// Subcode of number 100 which says that the object, the account's number, does not exist for this token.
const MISSING_OBJECT: i64 = 33;

/// Returns `true` when an error object of Meta's refuses the account rather than one message.
#[must_use]
pub(super) fn refuses_account(error: &Value) -> bool {
    match error.get("code").and_then(whole_number) {
        Some(100) => read_subcode(error) == Some(MISSING_OBJECT),
        Some(code) => classify_code(code) == ErrorClass::AccountRefused,
        None => false,
    }
}

/// Returns the class of this error; permanent, when it has no number of Meta's.
#[must_use]
pub fn class_of(error: &MessageError) -> ErrorClass {
    error.provider_code.map_or(ErrorClass::Permanent, classify_code)
}

/// Returns the contract's `error.code` for this number of Meta's.
#[must_use]
pub const fn code_of(provider_code: i64) -> &'static str {
    match provider_code {
        131_047 => "outside_24h_window",
        131_026 => "recipient_not_on_whatsapp",
        132_000 => "template_param_count_mismatch",
        132_001 => "template_not_found",
        132_012 => "template_param_format_mismatch",
        132_015 => "template_paused",
        132_016 => "template_disabled",
        131_052 | 131_053 => "media_download_failed",
        131_049 => "marketing_limit_reached",
        131_050 => "recipient_opted_out",
        131_062 => "recipient_not_addressable",
        _ => "whatsapp_error",
    }
}

/// Creates an error with this number of Meta's and this text.
#[must_use]
pub fn message_error(provider_code: Option<i64>, message: &str) -> MessageError {
    MessageError {
        code: provider_code.map_or("whatsapp_error", code_of).into(),
        message: message.into(),
        provider_code,
    }
}

/// Reads an error object of Meta's, as webhooks and responses carry it: its number, and the most specific of
/// its texts (`error_data.details`, `message`, `error_user_msg`, `title`).
#[must_use]
pub(super) fn read_error(error: &Value) -> MessageError {
    let code = error.get("code").and_then(whole_number);
    let texts = [
        error.pointer("/error_data/details"),
        error.get("message"),
        error.get("error_user_msg"),
        error.get("title"),
    ];
    let text = texts.into_iter().flatten().filter_map(Value::as_str).find(|text| !text.trim().is_empty());
    message_error(code, &bound_message(text.unwrap_or("WhatsApp gave no reason")))
}

/// Returns a text of Meta's as an error shows it: in one line, and bounded.
#[must_use]
pub(super) fn bound_message(text: &str) -> Arc<str> {
    bound_text(&one_line(text), MESSAGE_CHARS_MAX).into()
}

/// Returns the subcode of an error object of Meta's.
#[must_use]
pub(super) fn read_subcode(error: &Value) -> Option<i64> {
    error.get("error_subcode").and_then(whole_number)
}

fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_contracts_numbers_have_the_contracts_words() {
        for (number, word) in [
            (131_047, "outside_24h_window"),
            (131_026, "recipient_not_on_whatsapp"),
            (132_000, "template_param_count_mismatch"),
            (132_001, "template_not_found"),
            (132_012, "template_param_format_mismatch"),
            (132_015, "template_paused"),
            (132_016, "template_disabled"),
            (131_052, "media_download_failed"),
            (131_053, "media_download_failed"),
            (131_049, "marketing_limit_reached"),
            (131_050, "recipient_opted_out"),
            (131_062, "recipient_not_addressable"),
            (100, "whatsapp_error"),
            (-1, "whatsapp_error"),
        ] {
            assert_eq!(code_of(number), word, "{number}");
        }
    }

    #[test]
    fn only_the_listed_numbers_are_tried_again() {
        for number in [1, 2, 4, 80_007, 130_429, 131_000, 131_016, 131_056] {
            assert!(is_transient(number), "{number}");
        }
        for number in [0, 3, 10, 190, 200, 299, 368, 131_005, 131_031, 131_037, 131_042, 131_045, 133_010] {
            assert_eq!(classify_code(number), ErrorClass::AccountRefused);
            assert_eq!(class_of(&message_error(Some(number), "x")), ErrorClass::AccountRefused);
            assert!(refuses_account(&json!({"code": number})));
        }
        assert!(refuses_account(&json!({"code": 100, "error_subcode": 33})));
        assert!(!refuses_account(&json!({"code": 100})) && !refuses_account(&json!({"code": 131_026})));
        for number in [-1, 100, 300, 131_026, 131_047, 131_049, 132_001, i64::MAX] {
            assert_eq!(classify_code(number), ErrorClass::Permanent, "{number}");
        }
        assert_eq!(class_of(&message_error(None, "x")), ErrorClass::Permanent);
    }

    #[test]
    fn the_most_telling_text_is_taken() {
        let full = json!({"code": 131_047, "title": "Re-engagement message", "message": "Re-engagement message",
            "error_data": {"details": "More than 24 hours\nhave passed"}});
        let error = read_error(&full);
        assert_eq!((&*error.code, error.provider_code), ("outside_24h_window", Some(131_047)));
        assert_eq!(&*error.message, "More than 24 hours have passed");
        assert_eq!(&*read_error(&json!({"code": "4", "title": "Limit", "message": " "})).message, "Limit");
        for nothing in [json!({}), json!(null), json!("x"), json!({"code": 1.5, "message": 7})] {
            let error = read_error(&nothing);
            assert_eq!((&*error.code, error.provider_code), ("whatsapp_error", None), "{nothing}");
            assert_eq!(&*error.message, "WhatsApp gave no reason");
        }
        assert_eq!(
            read_error(&json!({"message": "é".repeat(5000)})).message.chars().count(),
            MESSAGE_CHARS_MAX
        );
    }
}
