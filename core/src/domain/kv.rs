//! A plugin's durable keys and values, and the law by which runs that went in parallel change them.
//!
//! Invariants: what is kept never exceeds the quota; a run's writes are taken only if all that it read is
//! as it read it, so whatever is taken is what some order of the runs, one after another, would have left.
//! Additions to a counter commute: they read nothing.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

/// Bytes of all keys and values of a plugin (contract, section 10).
pub const QUOTA_BYTES: usize = 1024 * 1024;
/// Keys and values. Cheap to fork.
pub type KvMap = OrdMap<Arc<str>, Arc<[u8]>>;

/// What a run has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvReads {
    /// Keys, whether they were there or not.
    pub keys: BTreeSet<Arc<str>>,
    /// Beginnings of keys of which all were listed; only which keys there are was told.
    pub prefixes: BTreeSet<Arc<str>>,
}

impl KvReads {
    /// Whether nothing was read.
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

/// A plugin's keys and values, measured.
#[derive(Debug, Clone, Default)]
pub struct Kv {
    map: KvMap,
    bytes: usize,
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len().saturating_add(value.len())
}

/// The number that a counter holds.
#[must_use]
pub fn counter(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl FromIterator<(Arc<str>, Arc<[u8]>)> for Kv {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<[u8]>)>>(entries: I) -> Self {
        let map: KvMap = entries.into_iter().collect();
        let bytes = map.iter().map(|(key, value)| size(key, value)).sum();
        Self { map, bytes }
    }
}

impl Kv {
    /// As a run sees it.
    #[must_use]
    pub const fn map(&self) -> &KvMap {
        &self.map
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a run's writes, if all that it read of `seen` stands here still and nothing exceeds the
    /// quota. Nothing has changed when the answer is `None`: the run is to be repeated on what is here
    /// now. Else the keys that were written.
    pub fn take(&mut self, seen: &Self, reads: &KvReads, writes: &[KvWrite]) -> Option<BTreeSet<Arc<str>>> {
        if !self.stands(seen, reads) {
            return None;
        }
        let mut next = self.clone();
        for write in writes {
            next.write(write)?;
        }
        if next.bytes > QUOTA_BYTES && next.bytes > self.bytes {
            return None;
        }
        *self = next;
        let key = |write: &KvWrite| match write {
            KvWrite::Put(key, _) | KvWrite::Delete(key) | KvWrite::Add(key, _) => key.clone(),
        };
        Some(writes.iter().map(key).collect())
    }

    fn stands(&self, seen: &Self, reads: &KvReads) -> bool {
        if self.map.ptr_eq(&seen.map) {
            return true;
        }
        let keys = reads.keys.iter().all(|key| self.map.get(key) == seen.map.get(key));
        keys && reads.prefixes.iter().all(|prefix| below(&self.map, prefix).eq(below(&seen.map, prefix)))
    }

    fn write(&mut self, write: &KvWrite) -> Option<()> {
        match write {
            KvWrite::Put(key, value) => self.put(key, value.clone()),
            KvWrite::Delete(key) => {
                if let Some(old) = self.map.remove(key) {
                    self.bytes -= size(key, &old);
                }
            }
            KvWrite::Add(key, amount) => {
                let now = self.map.get(key).map_or(Some(0), |value| counter(value))?;
                self.put(key, now.saturating_add(*amount).to_string().into_bytes().into());
            }
        }
        Some(())
    }

    fn put(&mut self, key: &Arc<str>, value: Arc<[u8]>) {
        self.bytes += size(key, &value);
        if let Some(old) = self.map.insert(key.clone(), value) {
            self.bytes -= size(key, &old);
        }
    }
}

/// The keys that begin so, in order.
fn below<'a>(map: &'a KvMap, prefix: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
    map.range::<_, str>((Bound::Included(prefix), Bound::Unbounded))
        .map(|(key, _)| key)
        .take_while(move |key| key.starts_with(prefix))
}

#[cfg(test)]
mod tests;
