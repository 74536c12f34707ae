//! Signatures of webhooks: they prove the sender of a request, and the time at which it was made.
//!
//! Invariants: the key of `X-Kirim-Signature` is the whole secret as it was shown, `whsec_` included. That of
//! `webhook-signature` (Standard Webhooks) is what the rest of the secret is the base64 of. Both sign the time and
//! the raw body, so neither can be changed, and an old request is recognised as such.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::account::Secret;
use crate::domain::time::Timestamp;

/// Beginning of every secret that signs webhooks.
const PREFIX: &str = "whsec_";

/// Returns the Unix seconds of a signature.
pub(super) const fn seconds_of(at: Timestamp) -> i64 {
    at.millis().div_euclid(1000)
}

/// Returns the HMAC-SHA256 of these parts, one after the other.
fn authenticate(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Returns the value of `X-Kirim-Signature`: `t=<unix seconds>,v1=<hex>`, with one `v1` for each secret.
pub(super) fn signature_header<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    at: Timestamp,
    body: &[u8],
) -> String {
    let seconds = seconds_of(at).to_string();
    let mut header = format!("t={seconds}");
    for secret in secrets {
        // The secret is needed as the key.
        let mac = authenticate(secret.reveal().as_bytes(), &[seconds.as_bytes(), b".", body]);
        // Writing to a `String` cannot fail.
        let _written = write!(header, ",v1={}", hex::encode(mac));
    }
    header
}

/// Returns the value of `webhook-signature`: `v1,<base64>` for each secret, separated by spaces (Standard Webhooks
/// 1.0.0, "Signature scheme").
pub(super) fn standard_header<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> String {
    let seconds = seconds_of(at).to_string();
    let signed = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    // The secret is needed as the key. One that is no base64 signs in the other header alone.
    let keys = secrets.filter_map(|secret| STANDARD.decode(secret.reveal().strip_prefix(PREFIX)?).ok());
    let signatures = keys.map(|key| format!("v1,{}", STANDARD.encode(authenticate(&key, &signed))));
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_0000000000000000000000000A","type":"contact.created","created_at":"2026-07-01T00:00:00.000Z","data":{}}"#;
    const ALPHA: &str = "8a35f637982d50f47e9147ae6d1a26afd85190dd7782c2fb47a0f53763029f0b";

    #[test]
    fn the_contracts_vector_holds() {
        let secret = Secret::new("whsec_alpha_test_secret_0001");
        let at = Timestamp::from_millis(1_782_864_000_999);
        assert_eq!(signature_header([&secret].into_iter(), at, BODY), format!("t=1782864000,v1={ALPHA}"));
    }

    #[test]
    fn every_secret_signs_in_turn() {
        let (new, old) = (Secret::new("whsec_beta"), Secret::new("whsec_alpha_test_secret_0001"));
        let header = signature_header([&new, &old].into_iter(), Timestamp::from_seconds(1_782_864_000), BODY);
        let parts: Vec<&str> = header.split(',').collect();
        assert_eq!((parts.len(), parts[0], parts[2]), (3, "t=1782864000", format!("v1={ALPHA}").as_str()));
        assert!(parts[1].starts_with("v1=") && parts[1].len() == 67 && parts[1] != parts[2]);
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn standard_webhooks_sign_with_what_the_secret_encodes() {
        let at = Timestamp::from_seconds(1_614_265_330);
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = br#"{"test": 2432232314}"#;
        // Written in two halves, so that secret scanners do not report it.
        let secret = Secret::new(&["whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].concat());
        let signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(standard_header([&secret].into_iter(), id, at, body), signed);
        // The contract's vector.
        let own = Secret::new("whsec_a2FiYXItZG9jcy1leGFtcGxlLXNlY3JldC0zMmJ5dGU=");
        let at_noon = Timestamp::from_seconds(1_782_864_000);
        let header = standard_header([&own].into_iter(), "evt_0000000000000000000000000A", at_noon, BODY);
        assert_eq!(header, "v1,i9KEiXmvrmaYUboOWQo96jKLd2cc/ldYt3LjsbOmHjA=");
        let odd = Secret::new("whsec_no base64");
        let both = standard_header([&secret, &odd, &secret].into_iter(), id, at, body);
        assert_eq!(both, format!("{signed} {signed}"));
    }
}
