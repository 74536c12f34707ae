//! `X-Kirim-Signature`: proves the sender of a request, and the time at which it was made.
//!
//! Invariant: the key is the whole secret as it was shown, `whsec_` included. The time, a full stop and the
//! raw body are signed, so neither can be changed, and an old request is recognised as such.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::account::Secret;
use crate::domain::time::Timestamp;

/// Returns the header's value: `t=<unix seconds>,v1=<hex>`, with one `v1` for each secret.
pub(super) fn signature_header<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    at: Timestamp,
    body: &[u8],
) -> String {
    let seconds = at.millis().div_euclid(1000);
    let mut header = format!("t={seconds}");
    for secret in secrets {
        // The secret is needed as the key.
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("a key of any length");
        mac.update(seconds.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        // Writing to a `String` cannot fail.
        let _written = write!(header, ",v1={}", hex::encode(mac.finalize().into_bytes()));
    }
    header
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
}
