//! The durable map of a plugin as one run sees it: a picture taken before, what was looked at, and
//! what is to change.
//!
//! Invariant: a run whose [`KvReads`] still find what they found would do the same again, so its
//! writes may be applied to a newer map than it saw. [`KvWrite::Add`] is no look: additions of runs
//! beside each other all count.

pub(crate) mod overlay;
mod reads;

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

pub use reads::KvReads;

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;

/// A plugin's map at one moment. Cheap to clone; changing a clone leaves the original alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvSnapshot {
    entries: OrdMap<Arc<str>, Arc<[u8]>>,
    bytes: usize,
}

/// One change of a plugin's map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvWrite {
    /// The key has this value from now on.
    Put {
        /// 1 to [`KEY_BYTES_MAX`] bytes.
        key: Arc<str>,
        /// What to keep.
        value: Arc<[u8]>,
    },
    /// The key is gone.
    Delete {
        /// Which one.
        key: Arc<str>,
    },
    /// The decimal number under the key grows by `by`; an absent one counts as 0.
    Add {
        /// Which one.
        key: Arc<str>,
        /// May be negative.
        by: i64,
    },
}

/// A value that was to be added to is no decimal number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value of {key:?} is not a decimal number")]
pub struct NotANumber {
    /// Whose value it is.
    pub key: Arc<str>,
}

/// Reads a value as [`KvWrite::Add`] keeps it: the decimal digits of an `i64`.
#[must_use]
pub fn number_of(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl KvSnapshot {
    /// These entries, whose keys and values have so many bytes in all.
    #[must_use]
    pub const fn of(entries: OrdMap<Arc<str>, Arc<[u8]>>, bytes: usize) -> Self {
        Self { entries, bytes }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<[u8]>> {
        self.entries.get(key)
    }

    /// Bytes of all keys and values: what the quota counts.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[u8]>)> {
        self.entries.iter()
    }

    /// Keys that begin with `prefix`, in order.
    pub fn keys<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        let from =
            self.entries.range::<_, str>((Bound::Included(prefix), Bound::Unbounded)).map(|(key, _)| key);
        from.take_while(move |key| key.starts_with(prefix))
    }

    /// Sets a key.
    pub fn put(&mut self, key: Arc<str>, value: Arc<[u8]>) {
        let (key_bytes, added) = (key.len(), key.len() + value.len());
        let old = self.entries.insert(key, value).map_or(0, |old| key_bytes + old.len());
        self.bytes = (self.bytes + added).saturating_sub(old);
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &str) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes = self.bytes.saturating_sub(key.len() + old.len());
        }
    }

    /// Adds to the number under a key and answers the sum, which stops at the ends of `i64`.
    ///
    /// # Errors
    /// [`NotANumber`] when the key has another value; nothing has changed.
    pub fn add(&mut self, key: Arc<str>, by: i64) -> Result<i64, NotANumber> {
        let before = match self.entries.get(&key) {
            Some(value) => number_of(value).ok_or_else(|| NotANumber { key: key.clone() })?,
            None => 0,
        };
        let sum = before.saturating_add(by);
        self.put(key, sum.to_string().into_bytes().into());
        Ok(sum)
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`NotANumber`] as [`KvSnapshot::add`]; nothing has changed.
    pub fn apply(&mut self, write: &KvWrite) -> Result<(), NotANumber> {
        match write {
            KvWrite::Put { key, value } => self.put(key.clone(), value.clone()),
            KvWrite::Delete { key } => self.delete(key),
            KvWrite::Add { key, by } => {
                self.add(key.clone(), *by)?;
            }
        }
        Ok(())
    }
}

impl FromIterator<(Arc<str>, Arc<[u8]>)> for KvSnapshot {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<[u8]>)>>(rows: I) -> Self {
        let mut all = Self::default();
        rows.into_iter().for_each(|(key, value)| all.put(key, value));
        all
    }
}

impl KvWrite {
    /// Which key changes.
    #[must_use]
    pub const fn key(&self) -> &Arc<str> {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Add { key, .. } => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn the_quota_counts_what_is_there() {
        let mut kv = KvSnapshot::default();
        kv.put("a".into(), value("12345"));
        kv.put("a".into(), value("1"));
        kv.put("bb".into(), value("22"));
        assert_eq!((kv.bytes(), kv.len()), (2 + 4, 2));
        let before = kv.clone();
        kv.delete("a");
        kv.delete("nothing");
        assert_eq!((kv.bytes(), before.bytes()), (4, 6));
        let again: KvSnapshot = before.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        assert_eq!(again, before);
    }

    #[test]
    fn prefixes_find_their_keys_in_order() {
        let rows = ["b", "a/2", "a/1", "a", "a0"].map(|key| (Arc::from(key), value("x")));
        let kv: KvSnapshot = rows.into_iter().collect();
        let keys = |prefix: &str| kv.keys(prefix).map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(keys("a/"), ["a/1", "a/2"]);
        assert_eq!(keys(""), ["a", "a/1", "a/2", "a0", "b"]);
        assert!(keys("c").is_empty());
    }

    #[test]
    fn numbers_are_added_to() {
        let mut kv = KvSnapshot::default();
        let add = |by| KvWrite::Add { key: "n".into(), by };
        kv.apply(&add(3)).unwrap();
        kv.apply(&add(-5)).unwrap();
        assert_eq!(kv.get("n").unwrap().as_ref(), b"-2");
        kv.apply(&KvWrite::Put { key: "n".into(), value: value("two") }).unwrap();
        assert_eq!(kv.apply(&add(1)), Err(NotANumber { key: "n".into() }));
        kv.apply(&KvWrite::Delete { key: "n".into() }).unwrap();
        assert_eq!(kv.add("n".into(), i64::MAX).and_then(|_| kv.add("n".into(), 1)), Ok(i64::MAX));
    }
}
