//! What a run looked at in its map, so that it can be told whether it would see the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::KvSnapshot;

/// What a run saw of the map that it was given.
///
/// Invariant: each answer that the run got from the map is here, with what it was. Its own writes
/// hide the map from it, and are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvReads {
    /// Keys that were asked for, with what they had.
    pub keys: BTreeMap<Arc<str>, Option<Arc<[u8]>>>,
    /// Prefixes whose keys were listed.
    pub prefixes: BTreeSet<Arc<str>>,
}

impl KvReads {
    /// Whether nothing was looked at: such a run fits every map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a run that saw `then` would see the same in `now`.
    #[must_use]
    pub fn hold(&self, then: &KvSnapshot, now: &KvSnapshot) -> bool {
        let keys = self.keys.iter().all(|(key, seen)| now.get(key) == seen.as_ref());
        keys && self.prefixes.iter().all(|prefix| then.keys(prefix).eq(now.keys(prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hold_while_they_find_the_same() {
        let mut then = KvSnapshot::default();
        then.put("a/1".into(), b"x".as_slice().into());
        let mut reads = KvReads::default();
        assert!(reads.is_empty() && reads.hold(&then, &KvSnapshot::default()));
        reads.keys.insert("a/1".into(), then.get("a/1").cloned());
        reads.keys.insert("b".into(), None);
        reads.prefixes.insert("a/".into());
        let with = |key: &str, value: &str| {
            let mut now = then.clone();
            now.put(key.into(), value.as_bytes().into());
            now
        };
        assert!(reads.hold(&then, &then) && reads.hold(&then, &with("c", "new")));
        assert!(!reads.hold(&then, &with("a/1", "y")), "a value that was read");
        assert!(!reads.hold(&then, &with("b", "new")), "a key that was missed");
        assert!(!reads.hold(&then, &with("a/2", "new")), "a key that a list would show");
    }
}
