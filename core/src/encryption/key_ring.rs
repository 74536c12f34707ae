//! The keys in force: one encrypts, all decrypt.
//!
//! Invariants: the encrypting key changes only at the start and by a rotation. A value under a key that is not
//! known makes the file be read again, so that a line that was added while the server runs decrypts at once.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::encryption_key::{EncryptionKey, EncryptionKeyId, SecretPlace};
use super::{KeyError, KeySource};
use crate::domain::account::Secret;

/// Handle of the keys in force. Cheap to clone.
#[derive(Clone)]
pub struct KeyRing(Arc<RingShared>);

struct RingShared {
    source: KeySource,
    keys: RwLock<Arc<RingKeys>>,
}

/// Keys as they are in force together.
struct RingKeys {
    writing: Arc<EncryptionKey>,
    /// Every key that decrypts, in the order of the file.
    all: Vec<Arc<EncryptionKey>>,
}

impl RingKeys {
    fn from_file(keys: Vec<EncryptionKey>) -> Option<Self> {
        let all: Vec<Arc<EncryptionKey>> = keys.into_iter().map(Arc::new).collect();
        Some(Self { writing: all.first()?.clone(), all })
    }

    fn find(&self, id: EncryptionKeyId) -> Option<&Arc<EncryptionKey>> {
        self.all.iter().find(|key| key.id() == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("source", &self.0.source).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the keys. With `may_create` the server's own file is made if it is missing: no value is encrypted
    /// yet.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(source: KeySource, may_create: bool) -> Result<Self, KeyError> {
        if may_create {
            source.create_file()?;
        }
        let keys = RingKeys::from_file(source.read_keys()?);
        let keys = keys.ok_or_else(|| KeyError::Empty { path: source.path().to_owned() })?;
        Ok(Self(Arc::new(RingShared { source, keys: RwLock::new(Arc::new(keys)) })))
    }

    fn current_keys(&self) -> Arc<RingKeys> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again. The encrypting key stays, and so does a key that the file has lost.
    fn read_again(&self) -> Result<Arc<RingKeys>, KeyError> {
        let read = self.0.source.read_keys()?;
        let mut place = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<EncryptionKey>> = read.into_iter().map(Arc::new).collect();
        for known in &place.all {
            if !all.iter().any(|key| key.id() == known.id()) {
                all.push(known.clone());
            }
        }
        *place = Arc::new(RingKeys { writing: place.writing.clone(), all });
        Ok(place.clone())
    }

    /// Returns the file of the keys.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.0.source
    }

    /// Returns the key that encrypts.
    #[must_use]
    pub fn writing_key(&self) -> EncryptionKeyId {
        self.current_keys().writing.id()
    }

    /// Returns the key that encrypts, and then the others that decrypt.
    #[must_use]
    pub fn known_keys(&self) -> Vec<EncryptionKeyId> {
        let keys = self.current_keys();
        let writing = keys.writing.id();
        let others = keys.all.iter().map(|key| key.id()).filter(|id| *id != writing);
        std::iter::once(writing).chain(others).collect()
    }

    /// Returns `true` when this key decrypts; reads the file again if it is not known.
    #[must_use]
    pub fn knows_key(&self, id: EncryptionKeyId) -> bool {
        let is_known = |keys: &RingKeys| keys.find(id).is_some();
        is_known(&self.current_keys()) || self.read_again().is_ok_and(|keys| is_known(&keys))
    }

    /// Makes a known key the one that encrypts; `false` when it is not known.
    #[must_use]
    pub fn write_under(&self, id: EncryptionKeyId) -> bool {
        let mut place = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = place.find(id).cloned() else { return false };
        *place = Arc::new(RingKeys { writing: key, all: place.all.clone() });
        true
    }

    /// Returns the keys that sign compiled components: that of the encrypting key first.
    #[must_use]
    pub fn artefact_keys(&self) -> Vec<[u8; 32]> {
        let keys = self.current_keys();
        let others = keys.all.iter().filter(|key| key.id() != keys.writing.id());
        std::iter::once(&keys.writing).chain(others).map(|key| key.artefact_key()).collect()
    }

    /// Encrypts a text for this place.
    ///
    /// # Errors
    /// [`KeyError::Failed`] when the system gives no random numbers.
    pub fn encrypt(&self, place: SecretPlace<'_>, text: &str) -> Result<String, KeyError> {
        self.current_keys().writing.encrypt(place, text)
    }

    /// Decrypts the value at this place.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] when it names another key than those of the file; [`KeyError::Foreign`] when it was
    /// changed or moved.
    pub fn decrypt(&self, place: SecretPlace<'_>, value: &str) -> Result<Secret, KeyError> {
        let (id, rest) = EncryptionKeyId::split_value(value).ok_or(KeyError::Foreign)?;
        if let Some(key) = self.current_keys().find(id) {
            return key.decrypt(place, rest);
        }
        let path = || self.0.source.path().to_owned();
        let keys = self.read_again()?;
        keys.find(id).ok_or_else(|| KeyError::Unknown { path: path(), id })?.decrypt(place, rest)
    }

    /// Returns the key of a rotation that begins, or goes on: the first of the file. The server's own file gets
    /// a new line first, the one that is `offered` or a random one; not if `unfinished`, when values are still
    /// encrypted under other keys than its first.
    ///
    /// # Errors
    /// [`KeyError`] in words for the operator.
    pub fn choose_next(
        &self,
        offered: Option<&Secret>,
        unfinished: bool,
    ) -> Result<EncryptionKeyId, KeyError> {
        let path = || self.0.source.path().to_owned();
        let offered_key = match offered {
            Some(line) => Some(EncryptionKey::parse_line(line.reveal().trim()).ok_or(KeyError::NotAKey)?),
            None => None,
        };
        let first = self.newest_in_file()?;
        match (&self.0.source, offered, offered_key) {
            (_, _, Some(key)) if key.id() == first => Ok(first),
            (KeySource::Given(_), _, Some(_)) => Err(KeyError::NotFirst { path: path() }),
            (KeySource::Own(_), Some(line), Some(_)) => self.extend_file(line.reveal().trim()),
            _ if first != self.writing_key() || unfinished => Ok(first),
            (KeySource::Given(_), _, _) => Err(KeyError::NoNewKey { path: path(), id: first }),
            (KeySource::Own(_), _, _) => self.extend_file(&EncryptionKey::generate_line()?),
        }
    }

    fn extend_file(&self, line: &str) -> Result<EncryptionKeyId, KeyError> {
        self.0.source.prepend_line(line)?;
        self.newest_in_file()
    }

    /// Reads the file again, and returns its first key.
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be read.
    pub fn newest_in_file(&self) -> Result<EncryptionKeyId, KeyError> {
        let keys = self.read_again()?;
        let first = keys.all.first().map(|key| key.id());
        first.ok_or_else(|| KeyError::Empty { path: self.0.source.path().to_owned() })
    }
}

#[cfg(test)]
mod tests;
