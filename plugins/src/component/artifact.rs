//! Signs compiled components, and verifies the signatures of this server.
//!
//! Invariant: [`verify_artifact`] returns only code that [`UnsignedArtifact::sign`] signed under the same key.
//! Machine code from anywhere else would run with all the rights of this process.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::component::invalid_plugin::NotTrusted;

/// First bytes of an artefact; the number is the version of its format.
const MAGIC: &[u8; 8] = b"kabarhk1";
const SEAL_BYTES: usize = 32;
const SHA_BYTES: usize = 32;

/// Bytes before the code.
const HEADER_BYTES: usize = MAGIC.len() + SEAL_BYTES + SHA_BYTES;

fn start_mac(key: &[u8; 32]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(MAGIC);
    Some(mac)
}

/// Compiled code with room for its signature before it, so that signing copies nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnsignedArtifact(Vec<u8>);

impl UnsignedArtifact {
    pub(crate) fn from_code(code: &[u8]) -> Self {
        let mut made = Self::default();
        made.0.extend_from_slice(code);
        made
    }

    /// Returns the buffer to which code is appended.
    pub(crate) const fn code_buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Returns the code.
    pub(crate) fn code(&self) -> &[u8] {
        self.0.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// Signs the code as that of the component with this digest. It takes some milliseconds for a large one.
    pub(crate) fn sign(mut self, key: &[u8; 32], sha256: &[u8; 32]) -> Bytes {
        let tag = start_mac(key).map(|mut mac| {
            mac.update(sha256);
            mac.update(self.code());
            mac.finalize().into_bytes()
        });
        let tag = tag.as_deref().unwrap_or(&[0; SEAL_BYTES]).iter();
        let header = MAGIC.iter().chain(tag).chain(sha256);
        self.0.iter_mut().zip(header).for_each(|(place, byte)| *place = *byte);
        self.0.into()
    }
}

impl Default for UnsignedArtifact {
    fn default() -> Self {
        Self(vec![0; HEADER_BYTES])
    }
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
    let genuine = start_mac(key).is_some_and(|mut mac| {
        mac.update(rest);
        mac.verify_slice(tag).is_ok()
    });
    if genuine { Ok(VerifiedArtifact { sha256: *sha256, tag: *tag, code }) } else { Err(NotTrusted::Seal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_here_is_opened() {
        let sealed = UnsignedArtifact::from_code(b"code").sign(&[1; 32], &[7; 32]);
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
