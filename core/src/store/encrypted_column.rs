//! Columns of secrets, which hold encrypted values.
//!
//! Invariant: a value is encrypted when its statement runs, in the task that writes. So once a statement has run
//! under a new key, no later one writes under the key before.

use super::StoreError;
use super::engine::{LateText, SqlArg};
use crate::domain::account::Secret;
use crate::encryption::{KeyError, KeyRing, SecretPlace};

/// A column of secrets.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncryptedColumn {
    /// Its table.
    pub(super) table: &'static str,
    /// Its name.
    pub(super) column: &'static str,
}

impl EncryptedColumn {
    const fn place_of(self, id: &str) -> SecretPlace<'_> {
        SecretPlace { table: self.table, column: self.column, id }
    }

    /// Encrypts the secret of the row with this id.
    pub(super) fn encrypt(self, keys: &KeyRing, id: &str, secret: &Secret) -> Result<String, sqlx::Error> {
        // It must be stored to be used again, and is stored encrypted.
        let encrypted = keys.encrypt(self.place_of(id), secret.reveal());
        encrypted.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))
    }

    /// Returns the secret of the row with this id as a value to bind.
    pub(super) fn bind_secret(self, keys: &KeyRing, id: String, secret: &Secret) -> SqlArg {
        let (keys, secret) = (keys.clone(), secret.clone());
        SqlArg::Late(LateText::from(move || self.encrypt(&keys, &id, &secret)))
    }

    /// Decrypts the value of the row with this id.
    pub(super) fn decrypt(self, keys: &KeyRing, id: &str, value: &str) -> Result<Secret, StoreError> {
        keys.decrypt(self.place_of(id), value).map_err(|error| {
            if !matches!(error, KeyError::Foreign) {
                return StoreError::Keys(error);
            }
            StoreError::Corrupt(format!(
                "{}.{} of {id:?} was not encrypted for this row",
                self.table, self.column
            ))
        })
    }
}
