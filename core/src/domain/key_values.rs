//! A plugin's durable keys and values, and the rules by which parallel runs change them.
//!
//! Invariants: the stored keys and values never exceed the quota. A run's writes are taken only if all keys
//! that it read are unchanged. So the result equals some serial order of the runs. Additions to a counter
//! commute: they read nothing.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

/// Bytes of all keys and values of a plugin, at most (contract, section 10).
pub const QUOTA_BYTES: usize = 1024 * 1024;
/// Keys and values. Cheap to fork.
pub type KvMap = OrdMap<Arc<str>, Arc<[u8]>>;

/// The keys that a run has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvReads {
    /// Keys, present or absent.
    pub keys: BTreeSet<Arc<str>>,
    /// Prefixes of which all keys were listed. A listing reveals keys only, not their values.
    pub prefixes: BTreeSet<Arc<str>>,
}

impl KvReads {
    /// Returns `true` when nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.prefixes.is_empty()
    }
}

/// Keys that are changed: their values, or `None` where they are removed.
pub type KvChanges = Vec<(Arc<str>, Option<Arc<[u8]>>)>;

/// One change, in the order in which the run made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvWrite {
    /// Sets a key.
    Put(Arc<str>, Arc<[u8]>),
    /// Removes a key.
    Delete(Arc<str>),
    /// Adds to a decimal counter, which is 0 when it is not there.
    Add(Arc<str>, i64),
}

impl KvWrite {
    /// The key that changes.
    #[must_use]
    pub const fn written_key(&self) -> &Arc<str> {
        match self {
            Self::Put(key, _) | Self::Delete(key) | Self::Add(key, _) => key,
        }
    }
}

/// A plugin's keys and values, with their total size. Cheap to clone; changing a clone leaves the original
/// alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyValues {
    map: KvMap,
    bytes: usize,
}

fn entry_bytes(key: &str, value: &[u8]) -> usize {
    key.len().saturating_add(value.len())
}

/// The number that a counter holds.
#[must_use]
pub fn parse_counter(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl FromIterator<(Arc<str>, Arc<[u8]>)> for KeyValues {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<[u8]>)>>(entries: I) -> Self {
        let map: KvMap = entries.into_iter().collect();
        let bytes = map.iter().map(|(key, value)| entry_bytes(key, value)).sum();
        Self { map, bytes }
    }
}

impl KeyValues {
    /// The underlying map.
    #[must_use]
    pub const fn as_map(&self) -> &KvMap {
        &self.map
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<[u8]>> {
        self.map.get(key)
    }

    /// Keys that begin with `prefix`, in order.
    pub fn list_keys<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        self.map
            .range::<_, str>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(move |key| key.starts_with(prefix))
    }

    /// Bytes of all keys and values, as the quota counts them.
    #[must_use]
    pub const fn total_bytes(&self) -> usize {
        self.bytes
    }

    /// Sets a key.
    pub fn put_value(&mut self, key: Arc<str>, value: Arc<[u8]>) {
        let (key_bytes, added) = (key.len(), entry_bytes(&key, &value));
        let removed = self.map.insert(key, value).map_or(0, |old| key_bytes.saturating_add(old.len()));
        self.bytes = self.bytes.saturating_add(added).saturating_sub(removed);
    }

    /// Removes a key.
    pub fn delete_key(&mut self, key: &str) {
        if let Some(old) = self.map.remove(key) {
            self.bytes = self.bytes.saturating_sub(entry_bytes(key, &old));
        }
    }

    /// Adds to the counter under a key, which is 0 when absent. Returns the sum, which saturates at the ends
    /// of `i64`. Returns `None`, and changes nothing, when the key's value is not a counter.
    pub fn add_counter(&mut self, key: Arc<str>, by: i64) -> Option<i64> {
        let before = self.map.get(&key).map_or(Some(0), |value| parse_counter(value))?;
        let sum = before.saturating_add(by);
        self.put_value(key, sum.to_string().into_bytes().into());
        Some(sum)
    }

    /// Takes a run's writes and returns the keys that were written.
    ///
    /// Returns `None`, and changes nothing, in three cases: a key that the run read of `seen` has changed
    /// here, an addition finds a value that is not a counter, or the quota would be exceeded. The run is then
    /// to be repeated on the current values.
    pub fn take_writes(
        &mut self,
        seen: &Self,
        reads: &KvReads,
        writes: &[KvWrite],
    ) -> Option<BTreeSet<Arc<str>>> {
        if !self.reads_hold(seen, reads) {
            return None;
        }
        let mut next = self.clone();
        for write in writes {
            next.apply_write(write)?;
        }
        if next.bytes > QUOTA_BYTES && next.bytes > self.bytes {
            return None;
        }
        *self = next;
        Some(writes.iter().map(|write| write.written_key().clone()).collect())
    }

    /// Returns `true` when all that a run read of `seen` is unchanged here, so that the run would do the same
    /// again.
    #[must_use]
    pub fn reads_hold(&self, seen: &Self, reads: &KvReads) -> bool {
        if self.map.ptr_eq(&seen.map) {
            return true;
        }
        let keys = reads.keys.iter().all(|key| self.map.get(key) == seen.map.get(key));
        keys && reads.prefixes.iter().all(|prefix| self.list_keys(prefix).eq(seen.list_keys(prefix)))
    }

    /// Makes one change. Returns `None`, and changes nothing, when it adds to a value that is not a counter.
    pub fn apply_write(&mut self, write: &KvWrite) -> Option<()> {
        match write {
            KvWrite::Put(key, value) => self.put_value(key.clone(), value.clone()),
            KvWrite::Delete(key) => self.delete_key(key),
            KvWrite::Add(key, amount) => {
                self.add_counter(key.clone(), *amount)?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
