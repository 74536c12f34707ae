//! A plugin's map as a run changes it: the map that it was given, with its own changes on top.
//!
//! Invariant: a run with reads that [hold](KeyValues::reads_hold) would do the same again, so its writes may be
//! applied to a newer map than it saw. An addition is not a read: additions of concurrent runs all count.

use std::collections::HashMap;
use std::sync::Arc;

use kabar_core::domain::key_values::{KeyValues, KvReads, KvWrite};

/// Most bytes of a key.
const KEY_BYTES_MAX: usize = 512;
/// Most keys that one list returns.
const LIST_MAX: usize = 1000;

/// Reason that nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KvRefused {
    Quota,
    Key,
    NotANumber,
}

/// The map of one run.
pub(crate) struct KvOverlay {
    current: KeyValues,
    bytes_max: usize,
    reads: KvReads,
    writes: Vec<KvWrite>,
    /// Index in `writes` of each key's change.
    places: HashMap<Arc<str>, usize>,
}

impl KvOverlay {
    pub(crate) fn new(given: KeyValues, bytes_max: usize) -> Self {
        Self {
            current: given,
            bytes_max,
            reads: KvReads::default(),
            writes: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn own_write(&self, key: &str) -> Option<&KvWrite> {
        self.writes.get(*self.places.get(key)?)
    }

    fn record_write(&mut self, write: KvWrite) {
        let known = self.places.get(write.written_key()).and_then(|place| self.writes.get_mut(*place));
        if let Some(known) = known {
            *known = write;
        } else {
            self.places.insert(write.written_key().clone(), self.writes.len());
            self.writes.push(write);
        }
    }

    fn record_read(&mut self, key: &str) {
        if !self.reads.keys.contains(key) {
            self.reads.keys.insert(key.into());
        }
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Arc<[u8]>> {
        // A key that no map can hold need not be recorded as read.
        check_key(key).ok()?;
        match self.own_write(key) {
            Some(KvWrite::Put(..) | KvWrite::Delete(_)) => {}
            Some(KvWrite::Add(..)) | None => self.record_read(key),
        }
        self.current.get(key).cloned()
    }

    pub(crate) fn put(&mut self, key: &str, value: &[u8]) -> Result<(), KvRefused> {
        let key = check_key(key)?;
        let old = self.current.get(&key).map_or(0, |old| key.len() + old.len());
        if (self.current.total_bytes() + key.len() + value.len()).saturating_sub(old) > self.bytes_max {
            return Err(KvRefused::Quota);
        }
        let value: Arc<[u8]> = value.into();
        self.current.put_value(key.clone(), value.clone());
        self.record_write(KvWrite::Put(key, value));
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) {
        if let Ok(key) = check_key(key) {
            self.current.delete_key(&key);
            self.record_write(KvWrite::Delete(key));
        }
    }

    pub(crate) fn add(&mut self, key: &str, by: i64) -> Result<(), KvRefused> {
        let key = check_key(key)?;
        let mut sum = self.current.clone();
        let Some(total) = sum.add_counter(key.clone(), by) else {
            // The refusal tells the value's type, so it counts as a read.
            self.record_read(&key);
            return Err(KvRefused::NotANumber);
        };
        if sum.total_bytes() > self.bytes_max && sum.total_bytes() > self.current.total_bytes() {
            return Err(KvRefused::Quota);
        }
        self.current = sum;
        let write = match self.own_write(&key) {
            // The run itself has put the value, so the sum is known.
            Some(KvWrite::Put(..) | KvWrite::Delete(_)) => {
                KvWrite::Put(key, total.to_string().into_bytes().into())
            }
            Some(KvWrite::Add(_, before)) => KvWrite::Add(key, before.saturating_add(by)),
            None => KvWrite::Add(key, by),
        };
        self.record_write(write);
        Ok(())
    }

    pub(crate) fn keys(&mut self, prefix: &str, limit: u32) -> Vec<Arc<str>> {
        if prefix.len() > KEY_BYTES_MAX {
            return Vec::new();
        }
        self.reads.prefixes.insert(prefix.into());
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(LIST_MAX);
        self.current.list_keys(prefix).take(limit).cloned().collect()
    }

    pub(crate) fn into_parts(self) -> (KvReads, Vec<KvWrite>) {
        (self.reads, self.writes)
    }
}

/// Takes a key that the databases can hold: PostgreSQL keeps no NUL in a text.
fn check_key(key: &str) -> Result<Arc<str>, KvRefused> {
    let holds = (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.contains('\0');
    if holds { Ok(key.into()) } else { Err(KvRefused::Key) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(rows: &[(&str, &str)]) -> KeyValues {
        rows.iter().map(|(key, value)| (Arc::from(*key), Arc::from(value.as_bytes()))).collect()
    }

    #[test]
    fn own_changes_hide_the_map() {
        let mut kv = KvOverlay::new(snapshot(&[("a", "1"), ("b", "2")]), 100);
        kv.put("a", b"3").unwrap();
        assert_eq!(kv.get("a").unwrap().as_ref(), b"3");
        kv.delete("b");
        assert_eq!(kv.get("b"), None);
        assert!(kv.reads.is_empty(), "what it wrote itself it did not read");
        kv.add("c", 2).unwrap();
        assert!(kv.reads.is_empty(), "adding is no look");
        assert_eq!(kv.get("c").unwrap().as_ref(), b"2");
        assert!(kv.reads.keys.contains("c"), "asking for the sum is");
        assert_eq!(kv.keys("", 10).len(), 2);
    }

    #[test]
    fn limits_refuse_and_change_nothing() {
        let mut kv = KvOverlay::new(snapshot(&[("a", "x")]), 10);
        assert_eq!(kv.put("b", &[0; 9]), Err(KvRefused::Quota));
        assert_eq!(kv.put("", b""), Err(KvRefused::Key));
        assert_eq!(kv.put(&"k".repeat(513), b""), Err(KvRefused::Key));
        assert_eq!(kv.put("a\0b", b""), Err(KvRefused::Key));
        assert_eq!(kv.add("a\0b", 1), Err(KvRefused::Key));
        assert_eq!(kv.add("a", 1), Err(KvRefused::NotANumber));
        assert!(kv.reads.keys.contains("a"));
        assert_eq!(kv.add("long-key-here", 1), Err(KvRefused::Quota));
        assert_eq!(kv.get(&"k".repeat(513)), None);
        assert!(kv.keys(&"k".repeat(513), 10).is_empty());
        let (reads, writes) = kv.into_parts();
        assert_eq!((reads.keys.len(), reads.prefixes.len(), writes.len()), (1, 0, 0));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Get(usize),
        Put(usize, u8),
        Delete(usize),
        Add(usize, i8),
        Keys,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_usize).prop_map(Step::Get),
            (0..3_usize, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
            (0..3_usize).prop_map(Step::Delete),
            (0..3_usize, any::<i8>()).prop_map(|(key, by)| Step::Add(key, by)),
            Just(Step::Keys),
        ]
    }

    /// What a run sees and leaves behind.
    fn play(given: &KeyValues, steps: &[Step]) -> (Vec<String>, KvReads, Vec<KvWrite>) {
        const KEYS: [&str; 3] = ["a", "b", "c"];
        let mut kv = KvOverlay::new(given.clone(), 1000);
        let mut seen = Vec::new();
        for step in steps {
            match step {
                Step::Get(key) => seen.push(format!("{:?}", kv.get(KEYS[*key]))),
                Step::Put(key, value) => kv.put(KEYS[*key], value.to_string().as_bytes()).unwrap(),
                Step::Delete(key) => kv.delete(KEYS[*key]),
                Step::Add(key, by) => kv.add(KEYS[*key], i64::from(*by)).unwrap(),
                Step::Keys => seen.push(format!("{:?}", kv.keys("", 10))),
            }
        }
        let (reads, writes) = kv.into_parts();
        (seen, reads, writes)
    }

    proptest! {
        /// Writes applied to a map in which the reads hold leave what the run would leave there.
        #[test]
        fn writes_may_be_applied_where_the_reads_hold(
            steps in proptest::collection::vec(step(), 0..12),
            then in proptest::collection::vec(any::<u8>(), 0..3),
            now in proptest::collection::vec(any::<u8>(), 0..3),
        ) {
            let map = |values: &[u8]| -> KeyValues {
                values.iter().zip(["a", "b", "c"])
                    .map(|(value, key)| (Arc::from(key), Arc::from(value.to_string().as_bytes())))
                    .collect()
            };
            let (then, now) = (map(&then), map(&now));
            let (seen, reads, writes) = play(&then, &steps);
            if now.reads_hold(&then, &reads) {
                let again = play(&now, &steps);
                prop_assert_eq!(&seen, &again.0);
                prop_assert_eq!(&writes, &again.2);
                let mut applied = now.clone();
                writes.iter().try_for_each(|write| applied.apply_write(write)).unwrap();
                let mut replayed = now;
                again.2.iter().try_for_each(|write| replayed.apply_write(write)).unwrap();
                prop_assert_eq!(applied, replayed);
            }
        }
    }
}
