//! The law of parallel runs: what is taken is what some order would have left.

use proptest::prelude::*;

use super::*;

fn key(n: u8) -> Arc<str> {
    format!("{}/{n}", n % 3).into()
}

fn value(n: u8) -> Arc<[u8]> {
    n.to_string().into_bytes().into()
}

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    List(u8),
    Put(u8, u8),
    Delete(u8),
    Add(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..9).prop_map(Step::Get),
        (0_u8..3).prop_map(Step::List),
        (0_u8..9, any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        (0_u8..9).prop_map(Step::Delete),
        (0_u8..9).prop_map(Step::Add),
    ]
}

#[test]
fn the_quota_counts_what_is_there() {
    let mut kv = KeyValues::default();
    kv.put_value("a".into(), value(123));
    kv.put_value("a".into(), value(1));
    kv.put_value("bb".into(), value(22));
    assert_eq!((kv.total_bytes(), kv.as_map().len()), (2 + 4, 2));
    let before = kv.clone();
    kv.delete_key("a");
    kv.delete_key("nothing");
    assert_eq!((kv.total_bytes(), before.total_bytes()), (4, 6));
    let again: KeyValues = before.as_map().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(again, before);
}

#[test]
fn prefixes_find_their_keys_in_order() {
    let kv: KeyValues =
        ["b", "a/2", "a/1", "a", "a0"].map(|key| (Arc::from(key), value(1))).into_iter().collect();
    let keys = |prefix: &str| kv.list_keys(prefix).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(keys("a/"), ["a/1", "a/2"]);
    assert_eq!(keys(""), ["a", "a/1", "a/2", "a0", "b"]);
    assert!(keys("c").is_empty());
}

#[test]
fn counters_stop_at_the_ends_and_leave_what_is_none() {
    let mut kv = KeyValues::default();
    assert_eq!((kv.add_counter("n".into(), 3), kv.add_counter("n".into(), -5)), (Some(3), Some(-2)));
    kv.put_value("n".into(), b"two".as_slice().into());
    let before = kv.clone();
    assert_eq!((kv.add_counter("n".into(), 1), &kv), (None, &before));
    kv.delete_key("n");
    assert_eq!(
        (kv.add_counter("n".into(), i64::MAX), kv.add_counter("n".into(), 1)),
        (Some(i64::MAX), Some(i64::MAX))
    );
}

/// A run whose writes depend on all that it has read: a digest of it goes into every value put.
fn run(seen: &KeyValues, steps: &[Step]) -> (KvReads, Vec<KvWrite>) {
    let (mut reads, mut writes, mut digest) = (KvReads::default(), Vec::new(), 0_u8);
    for step in steps {
        match step {
            Step::Get(k) => {
                let found = seen
                    .get(&key(*k))
                    .map_or(1, |value| value.iter().fold(7_u8, |a, b| a.wrapping_mul(31).wrapping_add(*b)));
                digest = digest.wrapping_mul(17).wrapping_add(found);
                reads.keys.insert(key(*k));
            }
            Step::List(p) => {
                let prefix: Arc<str> = format!("{p}/").into();
                for name in seen.list_keys(&prefix) {
                    digest = name.bytes().fold(digest, |a, b| a.wrapping_mul(31).wrapping_add(b));
                }
                reads.prefixes.insert(prefix);
            }
            Step::Put(k, v) => writes.push(KvWrite::Put(key(*k), value(v.wrapping_add(digest)))),
            Step::Delete(k) => writes.push(KvWrite::Delete(key(*k))),
            Step::Add(k) => writes.push(KvWrite::Add(key(*k), 1)),
        }
    }
    (reads, writes)
}

proptest! {
    /// Runs that all saw the same beginning are taken one after another; those that are refused run
    /// again on what is there. The end is that of running them one by one in the order of taking.
    #[test]
    fn what_is_taken_is_serial(runs in proptest::collection::vec(proptest::collection::vec(step(), 0..6), 0..8)) {
        let mut kv: KeyValues = (0..4).map(|n| (key(n), value(n))).collect();
        let mut serial = kv.clone();
        let mut waiting: Vec<_> = runs.iter().collect();
        while !waiting.is_empty() {
            let seen = kv.clone();
            let mut refused = Vec::new();
            for steps in waiting {
                let (reads, writes) = run(&seen, steps);
                if kv.take_writes(&seen, &reads, &writes).is_some() {
                    let (_, alone) = run(&serial, steps);
                    prop_assert!(serial.take_writes(&serial.clone(), &KvReads::default(), &alone).is_some());
                } else {
                    refused.push(steps);
                }
            }
            waiting = refused;
        }
        prop_assert!(kv.as_map() == serial.as_map());
        prop_assert_eq!(kv.total_bytes(), kv.as_map().iter().map(|(k, v)| k.len() + v.len()).sum::<usize>());
    }

    #[test]
    fn additions_never_conflict(counts in proptest::collection::vec(-5_i64..5, 0..50)) {
        let mut kv = KeyValues::default();
        let seen = kv.clone();
        for count in &counts {
            prop_assert!(kv.take_writes(&seen, &KvReads::default(), &[KvWrite::Add(key(0), *count)]).is_some());
        }
        let total = kv.as_map().get(&key(0)).map_or(0, |value| parse_counter(value).unwrap());
        prop_assert_eq!(total, counts.iter().sum::<i64>());
    }
}

#[test]
fn the_quota_holds_and_what_exceeds_it_can_be_mended() {
    let mut kv = KeyValues::default();
    let big: Arc<[u8]> = vec![0; QUOTA_BYTES / 2].into();
    let none = KvReads::default();
    let put = |kv: &mut KeyValues, n| {
        kv.take_writes(&KeyValues::default(), &none, &[KvWrite::Put(key(n), big.clone())])
    };
    assert!(put(&mut kv, 1).is_some());
    assert!(put(&mut kv, 2).is_none() && kv.as_map().len() == 1, "two keys are beyond the quota");
    let swap = [KvWrite::Delete(key(1)), KvWrite::Put(key(2), big.clone())];
    assert_eq!(kv.take_writes(&KeyValues::default(), &none, &swap).unwrap().len(), 2);
    assert!(
        kv.take_writes(&KeyValues::default(), &none, &[KvWrite::Add(key(2), 1)]).is_none(),
        "that is no counter"
    );
}
