//! One key: its id, and the cipher and the signing key that are derived from it.
//!
//! AES-256-GCM-SIV (RFC 8452) with a random nonce for each value. Two equal nonces under one key, which 2^48
//! values make improbable, would tell that two values are equal, and nothing more.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::{Zeroize as _, Zeroizing};

use super::{FORM, KeyError};
use crate::domain::account::Secret;

/// Salt of all derivations, so that the same bytes used elsewhere give other keys.
const SALT: &[u8] = b"kabar secrets at rest";

/// Public name of a key: derived from it, and of no use for finding it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncryptionKeyId([u8; 8]);

impl EncryptionKeyId {
    /// Reads 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes)).filter(|id| id.to_string() == text)
    }

    /// Returns the beginning of all values that are encrypted under this key.
    #[must_use]
    pub fn value_prefix(self) -> String {
        format!("{FORM}{self}.")
    }

    /// Returns the key that an encrypted value names.
    #[must_use]
    pub fn of_value(value: &str) -> Option<Self> {
        Self::split_value(value).map(|(id, _)| id)
    }

    /// Returns the key that an encrypted value names, and the rest of the value.
    pub(super) fn split_value(value: &str) -> Option<(Self, &str)> {
        let (id, rest) = value.strip_prefix(FORM)?.split_once('.')?;
        Some((Self::parse(id)?, rest))
    }
}

impl fmt::Display for EncryptionKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EncryptionKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Place of a secret: an encrypted value cannot be read at another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretPlace<'a> {
    /// Table.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// Id of the row.
    pub id: &'a str,
}

impl SecretPlace<'_> {
    fn associated_data(self) -> String {
        // Names of tables and columns have no NUL.
        format!("{}\0{}\0{}", self.table, self.column, self.id)
    }
}

/// A key in force.
pub(super) struct EncryptionKey {
    id: EncryptionKeyId,
    cipher: RandomizedNonceKey,
    artefact_key: [u8; 32],
}

impl EncryptionKey {
    /// Reads a line of a key file.
    pub(super) fn parse_line(line: &str) -> Option<Self> {
        let mut decoded = Zeroizing::new(STANDARD.decode(line).ok()?);
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(decoded.as_slice().try_into().ok()?);
        decoded.zeroize();
        let encryption = derive_key(&bytes, b"encryption")?;
        let id = derive_key(&bytes, b"id")?;
        Some(Self {
            id: EncryptionKeyId(*id.first_chunk()?),
            cipher: RandomizedNonceKey::new(&AES_256_GCM_SIV, encryption.as_slice()).ok()?,
            artefact_key: *derive_key(&bytes, b"compiled components")?,
        })
    }

    /// Makes the line of a new key.
    pub(super) fn generate_line() -> Result<Zeroizing<String>, KeyError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        SysRng.try_fill_bytes(bytes.as_mut_slice()).or(Err(KeyError::Failed))?;
        Ok(Zeroizing::new(STANDARD.encode(bytes.as_slice())))
    }

    pub(super) const fn id(&self) -> EncryptionKeyId {
        self.id
    }

    /// Returns the key that signs compiled components.
    pub(super) const fn artefact_key(&self) -> [u8; 32] {
        self.artefact_key
    }

    /// Encrypts a text for this place.
    pub(super) fn encrypt(&self, place: SecretPlace<'_>, text: &str) -> Result<String, KeyError> {
        let mut sealed = text.as_bytes().to_vec();
        let associated = Aad::from(place.associated_data());
        let nonce =
            self.cipher.seal_in_place_append_tag(associated, &mut sealed).or(Err(KeyError::Failed))?;
        let mut value = nonce.as_ref().to_vec();
        value.append(&mut sealed);
        Ok(self.id.value_prefix() + &STANDARD_NO_PAD.encode(value))
    }

    /// Decrypts what follows the id of a value.
    pub(super) fn decrypt(&self, place: SecretPlace<'_>, rest: &str) -> Result<Secret, KeyError> {
        let mut value = Zeroizing::new(STANDARD_NO_PAD.decode(rest).or(Err(KeyError::Foreign))?);
        let (nonce, sealed) = value.split_first_chunk_mut::<NONCE_LEN>().ok_or(KeyError::Foreign)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let associated = Aad::from(place.associated_data());
        let text = self.cipher.open_in_place(nonce, associated, sealed).or(Err(KeyError::Foreign))?;
        std::str::from_utf8(text).map(Secret::new).or(Err(KeyError::Foreign))
    }
}

/// Derives 32 bytes for one purpose (HKDF with SHA-256, RFC 5869).
fn derive_key(bytes: &[u8; 32], purpose: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut derived = Zeroizing::new([0; 32]);
    let extracted = Salt::new(HKDF_SHA256, SALT).extract(bytes);
    extracted.expand(&[purpose], HKDF_SHA256).ok()?.fill(derived.as_mut_slice()).ok()?;
    Some(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: SecretPlace<'static> =
        SecretPlace { table: "accounts", column: "access_token", id: "wba_1" };

    fn key(byte: u8) -> EncryptionKey {
        EncryptionKey::parse_line(&STANDARD.encode([byte; 32])).unwrap()
    }

    fn rest_of(value: &str) -> &str {
        EncryptionKeyId::split_value(value).unwrap().1
    }

    #[test]
    fn values_open_under_their_key_at_their_place_alone() {
        let sealed = key(1).encrypt(PLACE, "EAAG token").unwrap();
        assert!(sealed.starts_with(&key(1).id().value_prefix()) && !sealed.contains("token"), "{sealed}");
        assert_eq!(key(1).decrypt(PLACE, rest_of(&sealed)).unwrap().reveal(), "EAAG token");
        assert_ne!(key(1).encrypt(PLACE, "EAAG token").unwrap(), sealed, "a nonce of its own each time");
        let others = [
            SecretPlace { id: "wba_2", ..PLACE },
            SecretPlace { column: "app_secret", ..PLACE },
            SecretPlace { table: "plugins", ..PLACE },
        ];
        for place in others {
            assert!(matches!(key(1).decrypt(place, rest_of(&sealed)), Err(KeyError::Foreign)), "{place:?}");
        }
        assert!(key(2).decrypt(PLACE, rest_of(&sealed)).is_err());
        let bytes = STANDARD_NO_PAD.decode(rest_of(&sealed)).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(key(1).decrypt(PLACE, &STANDARD_NO_PAD.encode(&changed)).is_err(), "byte {place}");
            assert!(key(1).decrypt(PLACE, &STANDARD_NO_PAD.encode(&bytes[..place])).is_err());
        }
    }

    #[test]
    fn keys_are_32_bytes_and_their_parts_do_not_meet() {
        let wrong = ["", "AAAA", "not base64", &STANDARD.encode([1; 31]), &STANDARD.encode([1; 33])];
        assert!(wrong.iter().all(|line| EncryptionKey::parse_line(line).is_none()));
        assert_ne!(key(1).id(), key(2).id());
        assert_ne!(key(1).artefact_key(), key(2).artefact_key());
        assert_ne!(key(1).artefact_key(), [1; 32]);
        let id = key(1).id();
        assert_eq!(EncryptionKeyId::parse(&id.to_string()), Some(id));
        assert!(EncryptionKeyId::parse("0123456789ABCDEF").is_none(), "one spelling");
        let line = EncryptionKey::generate_line().unwrap();
        assert!(line.len() == 44 && EncryptionKey::parse_line(&line).is_some());
    }
}
