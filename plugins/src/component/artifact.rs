//! Signs compiled components, and verifies the signatures of this server.
//!
//! Invariant: [`verify_artifact`] returns only code that [`sign_artifact`] was given under the same key.
//! Machine code from anywhere else would run with all the rights of this process.

use bytes::{BufMut as _, Bytes, BytesMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::component::invalid_plugin::NotTrusted;

/// First bytes of an artefact; the number is the version of its format.
const MAGIC: &[u8; 8] = b"kabarhk1";
const SEAL_BYTES: usize = 32;
const SHA_BYTES: usize = 32;

fn compute_mac(key: &[u8; 32], rest: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(MAGIC);
    mac.update(rest);
    Some(mac)
}

/// Signs the code of the component with this digest.
pub(crate) fn sign_artifact(key: &[u8; 32], sha256: &[u8; 32], code: &[u8]) -> Bytes {
    let mut rest = BytesMut::with_capacity(SHA_BYTES + code.len());
    rest.put_slice(sha256);
    rest.put_slice(code);
    let tag = compute_mac(key, &rest).map(|mac| mac.finalize().into_bytes());
    let mut artefact = BytesMut::with_capacity(MAGIC.len() + SEAL_BYTES + rest.len());
    artefact.put_slice(MAGIC);
    artefact.put_slice(tag.as_deref().unwrap_or(&[0; SEAL_BYTES]));
    artefact.put_slice(&rest);
    artefact.freeze()
}

/// A verified artefact. [`verify_artifact`] alone makes one.
pub(crate) struct VerifiedArtifact<'a> {
    sha256: [u8; 32],
    tag: [u8; 32],
    code: &'a [u8],
}

impl<'a> VerifiedArtifact<'a> {
    /// Returns the SHA-256 of the component.
    pub(crate) const fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Returns the MAC of the whole artefact.
    pub(crate) const fn tag(&self) -> [u8; 32] {
        self.tag
    }

    /// Returns the machine code.
    pub(crate) const fn code(&self) -> &'a [u8] {
        self.code
    }
}

/// Verifies an artefact.
///
/// # Errors
/// When it was not signed under this key, or was changed.
pub(crate) fn verify_artifact<'a>(
    key: &[u8; 32],
    artefact: &'a [u8],
) -> Result<VerifiedArtifact<'a>, NotTrusted> {
    let sealed = artefact.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<SEAL_BYTES>());
    let (tag, rest) = sealed.ok_or(NotTrusted::Seal)?;
    let (sha256, code) = rest.split_first_chunk::<SHA_BYTES>().ok_or(NotTrusted::Seal)?;
    let genuine = compute_mac(key, rest).is_some_and(|mac| mac.verify_slice(tag).is_ok());
    if genuine { Ok(VerifiedArtifact { sha256: *sha256, tag: *tag, code }) } else { Err(NotTrusted::Seal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_here_is_opened() {
        let sealed = sign_artifact(&[1; 32], &[7; 32], b"code");
        let opened = verify_artifact(&[1; 32], &sealed).ok().unwrap();
        assert_eq!((opened.sha256, opened.code), ([7; 32], b"code".as_slice()));
        assert!(verify_artifact(&[2; 32], &sealed).is_err(), "another server's");
        for place in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[place] ^= 1;
            assert!(verify_artifact(&[1; 32], &changed).is_err(), "byte {place}");
            assert!(verify_artifact(&[1; 32], &sealed[..place]).is_err(), "cut at {place}");
        }
    }
}
