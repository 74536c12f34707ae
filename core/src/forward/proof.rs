//! Proof that a request was forwarded by a node of this cluster: a header with a MAC (HMAC-SHA-256).
//!
//! Invariants: the MAC covers both nodes, the time, the client's address, the accounts, method, path and query, the
//! headers on which a credential or a repetition depends, and the body. A proof counts at the node that it names,
//! within [`PROOF_WINDOW_MS`] of the database's clock, which all nodes share. A header that no key of this cluster
//! made is no proof. Within the window a copy of a forwarded request repeats exactly that request.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::ids::NodeId;

/// Header that carries a proof.
pub const FORWARDED: HeaderName = HeaderName::from_static("x-kabar-forwarded");
/// Difference between the time of a proof and the receiver's, at most, either way; in milliseconds.
pub const PROOF_WINDOW_MS: u64 = 15_000;

/// Begins what is signed, so that no MAC for another purpose is one of a proof.
const PURPOSE: &str = "kabar forwarded request 1";
/// Headers that a proof covers, besides the body: the credential, the signature of a webhook and the name of a call.
const COVERED: [HeaderName; 3] = [
    AUTHORIZATION,
    HeaderName::from_static("x-hub-signature-256"),
    HeaderName::from_static("idempotency-key"),
];
const UNKNOWN_CLIENT: &str = "-";
const SIGNED_BODY: &str = "signed";

/// Keys that the nodes of a cluster share.
#[derive(Clone)]
pub struct ForwardKeys {
    newest: [u8; 32],
    older: Vec<[u8; 32]>,
}

impl std::fmt::Debug for ForwardKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForwardKeys")
    }
}

/// Link between a proof and the body of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLink {
    /// SHA-256 of the body.
    Digest([u8; 32]),
    /// The signature of a webhook, which is over the body, and which the proof covers.
    Signature,
}

impl BodyLink {
    /// Returns the link to this body by its digest.
    #[must_use]
    pub fn of_body(body: &[u8]) -> Self {
        Self::Digest(Sha256::digest(body).into())
    }

    /// Returns `false` when this is not the body that was sent. The signature of a webhook is verified elsewhere.
    #[must_use]
    pub fn admits_body(&self, body: &[u8]) -> bool {
        match self {
            Self::Digest(_) => *self == Self::of_body(body),
            Self::Signature => true,
        }
    }
}

/// Statement of a node about a request that it forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardProof {
    /// Node that forwards.
    pub from: NodeId,
    /// Node that is to answer.
    pub to: NodeId,
    /// Time by the database's clock, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Address of the client, where it is known.
    pub client: Option<IpAddr>,
    /// Accounts that the request is about: their `phone_number_id`s, separated by commas. At least one.
    pub accounts: String,
    /// Link to the body.
    pub body: BodyLink,
}

/// Parts of a request that a proof covers.
#[derive(Debug, Clone, Copy)]
pub struct ForwardedHead<'a> {
    /// HTTP method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
}

impl ForwardProof {
    /// Returns `true` when the proof was made for this node, about now.
    #[must_use]
    pub const fn is_for(&self, node: NodeId, now_ms: i64) -> bool {
        self.to.bits() == node.bits() && self.at_ms.abs_diff(now_ms) <= PROOF_WINDOW_MS
    }

    fn statement(&self) -> String {
        let client = self.client.map_or_else(|| UNKNOWN_CLIENT.to_owned(), |address| address.to_string());
        let body = match self.body {
            BodyLink::Digest(digest) => hex::encode(digest),
            BodyLink::Signature => SIGNED_BODY.to_owned(),
        };
        format!("{} {} {} {client} {} {body}", self.from, self.to, self.at_ms, self.accounts)
    }

    fn parse_statement(statement: &str) -> Option<Self> {
        let mut words = statement.split(' ');
        let proof = Self {
            from: NodeId::parse(words.next()?).ok()?,
            to: NodeId::parse(words.next()?).ok()?,
            at_ms: words.next()?.parse().ok()?,
            client: match words.next()? {
                UNKNOWN_CLIENT => None,
                address => Some(address.parse().ok()?),
            },
            accounts: words.next().filter(|accounts| !accounts.is_empty())?.to_owned(),
            body: match words.next()? {
                SIGNED_BODY => BodyLink::Signature,
                digits => {
                    let mut digest = [0; 32];
                    hex::decode_to_slice(digits, &mut digest).ok()?;
                    BodyLink::Digest(digest)
                }
            },
        };
        words.next().is_none().then_some(proof)
    }
}

impl ForwardKeys {
    /// Keys of a cluster: the newest makes proofs, all of them verify.
    #[must_use]
    pub const fn new(newest: [u8; 32], older: Vec<[u8; 32]>) -> Self {
        Self { newest, older }
    }

    /// Returns the header's value for a request.
    #[must_use]
    pub fn make_header(&self, proof: &ForwardProof, head: ForwardedHead<'_>) -> HeaderValue {
        let statement = proof.statement();
        let mac = hex::encode(start_mac(&self.newest, &statement, head).finalize().into_bytes());
        // Ids, numbers, digits and addresses are visible ASCII; an empty value is no proof.
        HeaderValue::try_from(format!("{statement} {mac}")).unwrap_or(HeaderValue::from_static(""))
    }

    /// Returns the proof of a header that a node of this cluster made for this request.
    #[must_use]
    pub fn verify_header(&self, value: &HeaderValue, head: ForwardedHead<'_>) -> Option<ForwardProof> {
        let (statement, mac) = value.to_str().ok()?.rsplit_once(' ')?;
        let mut claimed = [0; 32];
        hex::decode_to_slice(mac, &mut claimed).ok()?;
        let mut keys = std::iter::once(&self.newest).chain(&self.older);
        let is_made_by = |key: &[u8; 32]| start_mac(key, statement, head).verify_slice(&claimed).is_ok();
        keys.any(is_made_by).then(|| ForwardProof::parse_statement(statement)).flatten()
    }
}

/// Starts the MAC of a statement and a head. Each part comes after its length, so that no two requests are signed
/// as the same bytes.
fn start_mac(key: &[u8; 32], statement: &str, head: ForwardedHead<'_>) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    let mut update = |part: &[u8]| {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    };
    for part in [PURPOSE, statement, head.method.as_str(), head.target] {
        update(part.as_bytes());
    }
    for name in &COVERED {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        update(&u64::try_from(values.len()).unwrap_or(u64::MAX).to_be_bytes());
        for value in values {
            update(value.as_bytes());
        }
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> ForwardProof {
        ForwardProof {
            from: NodeId::from_bits(1),
            to: NodeId::from_bits(2),
            at_ms: 1_781_866_800_000,
            client: Some("2001:db8::1".parse().unwrap()),
            accounts: "106540352242922,106540352242923".to_owned(),
            body: BodyLink::of_body(b"{}"),
        }
    }

    fn headers(credential: &str) -> HeaderMap {
        [(AUTHORIZATION, credential.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_proof_is_for_one_request_and_one_cluster() {
        let keys = ForwardKeys::new([1; 32], Vec::new());
        let (post, get, own, other) = (Method::POST, Method::GET, headers("Bearer a"), headers("Bearer b"));
        let head = ForwardedHead { method: &post, target: "/v1/1/messages?a=1", headers: &own };
        for proof in [proof(), ForwardProof { client: None, body: BodyLink::Signature, ..proof() }] {
            let value = keys.make_header(&proof, head);
            assert_eq!(keys.verify_header(&value, head), Some(proof));
            for changed in [
                ForwardedHead { method: &get, ..head },
                ForwardedHead { target: "/v1/1/messages", ..head },
                ForwardedHead { headers: &other, ..head },
                ForwardedHead { headers: &HeaderMap::new(), ..head },
            ] {
                assert_eq!(keys.verify_header(&value, changed), None, "{changed:?}");
            }
            assert_eq!(ForwardKeys::new([2; 32], Vec::new()).verify_header(&value, head), None);
            // During a rotation.
            let rotated = ForwardKeys::new([2; 32], vec![[1; 32]]);
            assert!(rotated.verify_header(&value, head).is_some());
        }
    }

    #[test]
    fn a_changed_statement_is_no_proof() {
        let keys = ForwardKeys::new([1; 32], Vec::new());
        let (method, headers) = (Method::GET, HeaderMap::new());
        let head = ForwardedHead { method: &method, target: "/", headers: &headers };
        let good = keys.make_header(&proof(), head).to_str().unwrap().to_owned();
        for (from, to) in [("922,", "921,"), ("db8::1", "db8::2"), ("1781866800000", "1781866800001")] {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good);
            assert_eq!(keys.verify_header(&changed.parse().unwrap(), head), None, "{changed}");
        }
        for value in ["", "1", "a b", " ", &good[..good.len() - 1], &format!("{good}0")] {
            assert_eq!(keys.verify_header(&value.parse().unwrap(), head), None, "{value}");
        }
    }

    #[test]
    fn a_proof_counts_at_its_node_and_in_its_time() {
        let (proof, window) = (proof(), i64::try_from(PROOF_WINDOW_MS).unwrap());
        assert!(proof.is_for(proof.to, proof.at_ms + window) && proof.is_for(proof.to, proof.at_ms - window));
        assert!(!proof.is_for(proof.to, proof.at_ms + window + 1));
        assert!(!proof.is_for(proof.to, proof.at_ms - window - 1));
        assert!(!proof.is_for(proof.from, proof.at_ms));
    }

    #[test]
    fn a_body_is_the_one_that_was_sent() {
        assert!(proof().body.admits_body(b"{}") && !proof().body.admits_body(b"{ }"));
    }
}
