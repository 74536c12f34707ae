//! Answers and their meaning, headers and what they hold.

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::*;
use crate::domain::account::Secret;
use crate::domain::event::EventTypes;
use crate::domain::principal::Principal;
use crate::domain::row_version::RowVersion;
use crate::domain::subscription::{SigningSecret, SubscriptionStatus, WebhookFormat};
use crate::ids::{OrganisationId, SigningSecretId, SubscriptionId};
use crate::outbound::OutboundAnswer;

const NOW: Timestamp = Timestamp::from_millis(1_782_864_000_000);

fn answer(status: u16, retry_after: Option<&str>) -> OutboundAnswer {
    let mut headers = HeaderMap::new();
    if let Some(text) = retry_after {
        headers.insert(RETRY_AFTER, text.parse().unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    OutboundAnswer { status, headers, body: Bytes::new(), truncated: false }
}

fn outcome(status: u16, retry_after: Option<&str>) -> AttemptOutcome {
    let receipt = response_class::classify_response(&answer(status, retry_after), NOW);
    assert_eq!(receipt.status_code, Some(status));
    assert_eq!(receipt.error.is_none(), receipt.outcome == AttemptOutcome::Delivered);
    receipt.outcome
}

#[test]
fn answers_fall_into_the_contracts_classes() {
    const RETRY: AttemptOutcome = AttemptOutcome::Retry { after: None };
    for status in [200, 201, 202, 204, 206, 299] {
        assert_eq!(outcome(status, None), AttemptOutcome::Delivered, "{status}");
    }
    for status in [101, 300, 301, 302, 303, 304, 307, 308, 408, 429, 500, 501, 502, 503, 504, 599, 600, 999] {
        assert_eq!(outcome(status, None), RETRY, "{status}");
    }
    for status in [400, 401, 403, 404, 405, 409, 411, 413, 415, 418, 422, 425, 451, 499] {
        assert_eq!(outcome(status, None), AttemptOutcome::Rejected, "{status}");
    }
    assert_eq!(outcome(410, None), AttemptOutcome::Gone);
}

#[test]
fn a_receiver_may_ask_for_time_in_seconds_or_by_date() {
    let after = |text: &str| match outcome(429, Some(text)) {
        AttemptOutcome::Retry { after } => after,
        AttemptOutcome::Delivered | AttemptOutcome::Rejected | AttemptOutcome::Gone => {
            panic!("{text} ends it")
        }
    };
    assert_eq!(after("0"), Some(Duration::ZERO));
    assert_eq!(after(" 120 "), Some(Duration::from_mins(2)));
    assert_eq!(after("99999999999999999999"), Some(Duration::from_secs(u64::from(u32::MAX))));
    assert_eq!(after("Wed, 01 Jul 2026 00:01:30 GMT"), Some(Duration::from_secs(90)));
    assert_eq!(after("Tue, 30 Jun 2026 23:59:59 GMT"), Some(Duration::ZERO));
    for text in ["", "-1", "1.5", "soon", "2026-07-01T00:00:00Z"] {
        assert_eq!(after(text), None, "{text}");
    }
    assert_eq!(outcome(503, Some("7")), AttemptOutcome::Retry { after: Some(Duration::from_secs(7)) });
    assert_eq!(outcome(302, Some("7")), AttemptOutcome::Retry { after: None });
}

#[test]
fn secrets_sign_until_they_expire() {
    let secret = |bits: u128, expires_at| SigningSecret {
        id: SigningSecretId::from_bits(bits),
        secret: Secret::new(&format!("whsec_{bits}")),
        created_at: NOW,
        created_by: Principal::SYSTEM,
        expires_at,
    };
    let later = NOW.plus_duration(Duration::from_secs(1));
    let subscription = Subscription {
        id: SubscriptionId::from_bits(1),
        organisation_id: OrganisationId::from_bits(1),
        url: "https://example.com/".into(),
        events: EventTypes::all_types(),
        format: WebhookFormat::Kabar,
        description: None,
        status: SubscriptionStatus::Active,
        dead_in_row: 0,
        secrets: vec![secret(1, Some(NOW)), secret(2, Some(later)), secret(3, None)],
        created_at: NOW,
        created_by: Principal::SYSTEM,
        updated_at: NOW,
        row_version: RowVersion::FIRST,
    };
    let signed =
        |now| signature::signature_header(subscription.signing_at(now).map(|one| &one.secret), now, b"{}");
    assert_eq!(signed(NOW).matches(",v1=").count(), 2);
    assert_eq!(signed(later).matches(",v1=").count(), 1);
    // The newest secret signs first.
    let newest = signature::signature_header([&Secret::new("whsec_3")].into_iter(), NOW, b"{}");
    assert!(signed(NOW).starts_with(&newest));
}
