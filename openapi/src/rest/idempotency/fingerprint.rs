//! Fingerprint of a call: method, path, and the value of the body.
//!
//! Invariant: member order, blanks and escapes of a JSON body do not matter; everything else does.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Computes SHA-256 over method, path and canonical body.
pub(super) fn compute_fingerprint(method: &str, path: &str, body: &Value) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [method, path] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    hash_canonical(body, &mut digest);
    digest.finalize().into()
}

/// Hashes a value. Depth is bounded: `serde_json` rejects more than 128 levels when it reads the body.
fn hash_canonical(value: &Value, digest: &mut Sha256) {
    match value {
        Value::Array(elements) => {
            digest.update([b'[']);
            for element in elements {
                hash_canonical(element, digest);
                digest.update([b',']);
            }
            digest.update([b']']);
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            digest.update([b'{']);
            for (key, member) in sorted {
                digest.update(Value::from(key.as_str()).to_string());
                digest.update([b':']);
                hash_canonical(member, digest);
                digest.update([b',']);
            }
            digest.update([b'}']);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            digest.update(value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> [u8; 32] {
        compute_fingerprint("POST", "/v1/1/messages", &serde_json::from_str(text).unwrap())
    }

    #[test]
    fn only_meaning_counts() {
        let base = print(r#"{"a":1,"b":{"c":["x","y"],"d":null}}"#);
        assert_eq!(base, print("{ \"b\" : {\"d\":null, \"c\":[\"\\u0078\",\"y\"]}, \"a\":1 }"));
        for other in [
            r#"{"a":1,"b":{"c":["y","x"],"d":null}}"#,
            r#"{"a":"1","b":{"c":["x","y"],"d":null}}"#,
            r#"{"a":1,"b":{"c":["x","y"]}}"#,
            r#"{"a":1,"b":{"c":["x,\"y"],"d":null}}"#,
        ] {
            assert_ne!(base, print(other), "{other}");
        }
        let body = Value::Null;
        assert_ne!(compute_fingerprint("POST", "/a", &body), compute_fingerprint("POST", "/b", &body));
        assert_ne!(compute_fingerprint("POST", "/a", &body), compute_fingerprint("PUT", "/a", &body));
    }
}
