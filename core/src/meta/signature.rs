//! `X-Hub-Signature-256`: verification of a webhook's sender.
//!
//! Invariants: the raw bytes are signed, never a parsed and rewritten body. The time of a check depends on
//! the number of secrets tried, never on their content. An empty secret signs nothing. The caller decides for
//! which accounts a secret is valid, so [`ClaimedSignature::find_signer`] returns the secret that matched. A
//! header that is not well-formed is refused by [`ClaimedSignature::parse_header`] before there is a body.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::account::Secret;

/// The header's name.
pub const HEADER: &str = "X-Hub-Signature-256";

const SCHEME: &str = "sha256=";
const DIGEST_BYTES: usize = 32;

/// Returns the header's value for this body.
#[must_use]
pub fn sign_body(secret: &Secret, body: &[u8]) -> String {
    format!("{SCHEME}{}", hex::encode(compute_digest(secret, body)))
}

/// Digest that a header claims to be the signature of a body: 32 bytes, not verified yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedSignature([u8; DIGEST_BYTES]);

impl ClaimedSignature {
    /// Reads a header's value; `None` when it is not well-formed.
    #[must_use]
    pub fn parse_header(value: &str) -> Option<Self> {
        let mut claimed = [0; DIGEST_BYTES];
        hex::decode_to_slice(value.trim().strip_prefix(SCHEME)?, &mut claimed).ok()?;
        Some(Self(claimed))
    }

    /// Returns the signature of a body.
    #[must_use]
    pub fn of_body(secret: &Secret, body: &[u8]) -> Self {
        Self(compute_digest(secret, body))
    }

    /// Returns the header's value.
    #[must_use]
    pub fn header_value(&self) -> String {
        format!("{SCHEME}{}", hex::encode(self.0))
    }

    /// Returns the candidate secret that signed the body; `None` when none did. A body may name several accounts:
    /// a secret of only one of them must not authenticate the others.
    #[must_use]
    pub fn find_signer<'a>(
        &self,
        body: &[u8],
        candidates: impl IntoIterator<Item = &'a Secret>,
    ) -> Option<&'a Secret> {
        let mut signer = None;
        for secret in candidates {
            // An unset secret is an empty text, with which any client can sign.
            if secret.reveal().is_empty() {
                continue;
            }
            // All secrets are tried, so that the time taken does not reveal the one that matched.
            if bool::from(compute_digest(secret, body).ct_eq(&self.0)) && signer.is_none() {
                signer = Some(secret);
            }
        }
        signer
    }
}

fn compute_digest(secret: &Secret, body: &[u8]) -> [u8; DIGEST_BYTES] {
    // The secret is needed as the key.
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("a key of any length");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verify_body<'a>(
        header: Option<&str>,
        body: &[u8],
        candidates: impl IntoIterator<Item = &'a Secret>,
    ) -> Option<&'a Secret> {
        ClaimedSignature::parse_header(header?)?.find_signer(body, candidates)
    }

    #[test]
    fn the_known_vector_verifies() {
        // RFC 4231, test case 2.
        let secret = Secret::new("Jefe");
        let body = b"what do ya want for nothing?";
        let header = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign_body(&secret, body), header);
        assert_eq!(verify_body(Some(header), body, [&secret]), Some(&secret));
        let upper = header.to_uppercase().replace("SHA256", "sha256");
        assert!(verify_body(Some(&upper), body, [&secret]).is_some());
    }

    #[test]
    fn what_is_not_a_signature_is_refused() {
        let secret = Secret::new("s3cret");
        let good = sign_body(&secret, b"{}");
        let (_, digits) = good.split_once('=').unwrap();
        let headers = ["", "sha256=", digits, "sha1=00", "sha256=zz", &good[..good.len() - 2], "sha256=é"];
        for header in headers {
            assert_eq!(verify_body(Some(header), b"{}", [&secret]), None, "{header}");
            assert_eq!(ClaimedSignature::parse_header(header), None, "{header}");
        }
        assert_eq!(ClaimedSignature::parse_header(&good).unwrap().header_value(), good);
        assert_eq!(verify_body(None, b"{}", [&secret]), None);
        assert_eq!(verify_body(Some(&good), b"{}", []), None);
        assert_eq!(verify_body(Some(&good), b"{} ", [&secret]), None);
    }

    #[test]
    fn an_unset_secret_vouches_for_nobody() {
        let unset = Secret::new("");
        assert_eq!(verify_body(Some(&sign_body(&unset, b"{}")), b"{}", [&unset]), None);
    }

    proptest! {
        #[test]
        fn the_signer_is_found_among_others(secrets in prop::collection::vec("[a-z]{1,8}", 1..5), body: Vec<u8>, pick: prop::sample::Index) {
            let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(text)).collect();
            let signer = pick.get(&secrets);
            let header = sign_body(signer, &body);
            prop_assert_eq!(verify_body(Some(&header), &body, &secrets), Some(signer));
        }

        #[test]
        fn a_changed_byte_is_noticed(mut body in prop::collection::vec(any::<u8>(), 1..64), at: prop::sample::Index, by in 1u8..) {
            let secret = Secret::new("s3cret");
            let header = sign_body(&secret, &body);
            let at = at.index(body.len());
            body[at] = body[at].wrapping_add(by);
            prop_assert_eq!(verify_body(Some(&header), &body, [&secret]), None);
        }
    }
}
