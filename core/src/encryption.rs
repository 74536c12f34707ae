//! Encryption of secrets at rest, under keys that lie outside the database.
//!
//! Invariants: a value opens only in the row and column that it was encrypted for, and names its key. The keys
//! come from a file; the first line encrypts, and every line decrypts. A key's bytes leave this module only as
//! keys that are derived from them.

mod encryption_key;
mod key_file;
mod key_ring;

pub use self::encryption_key::{EncryptionKeyId, SecretPlace};
pub use self::key_file::KeySource;
pub use self::key_ring::KeyRing;

use std::path::PathBuf;

/// Beginning of every encrypted value; the number is the version of its form.
pub(crate) const FORM: &str = "kse1.";

/// Returns `true` for a value in the form of encrypted ones, which no JSON has.
pub(crate) fn is_encrypted(value: &str) -> bool {
    value.starts_with(FORM)
}

/// Reason that keys, or a value, cannot be used. The texts are for the operator and show no secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is gone, and encrypted values are not.
    #[error(
        "the key file {} is missing, and the database holds secrets that are encrypted under its keys; put the \
         file back from its backup", path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A line holds no key.
    #[error("line {line} of the key file {} is no key: 32 bytes in standard base64 (openssl rand -base64 32)", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1 on.
        line: usize,
    },
    /// The file has no line.
    #[error("the key file {} has no key in it: one line of openssl rand -base64 32", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A value names a key that the file does not have.
    #[error(
        "the database holds secrets that are encrypted under the key {id}, which the key file {} does not have; \
         put its line back from the backup of the file", path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Id that the value names.
        id: EncryptionKeyId,
    },
    /// The key that was offered is none.
    #[error("that is no key: 32 bytes in standard base64 (openssl rand -base64 32)")]
    NotAKey,
    /// The file begins with the key in force, and this server does not write the file.
    #[error(
        "{} begins with the key {id}, which is in force already; put a line with a new key before it, on every \
         node, and try again", path.display()
    )]
    NoNewKey {
        /// The file.
        path: PathBuf,
        /// Id of its first key.
        id: EncryptionKeyId,
    },
    /// The file, which this server does not write, does not begin with the key that was offered.
    #[error("{} does not begin with that key; put its line first, on every node, and try again", path.display())]
    NotFirst {
        /// The file.
        path: PathBuf,
    },
    /// A value is none that was encrypted for its place.
    #[error("an encrypted value was changed, or belongs to another row")]
    Foreign,
    /// The cipher failed, for want of random numbers.
    #[error("a secret cannot be encrypted")]
    Failed,
}
