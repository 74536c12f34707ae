//! The bounded run of each target, by one seed, and what a run finds.

use std::sync::atomic::{AtomicU32, Ordering};

use kabar_fuzz::campaign::{CampaignBound, run_campaign, try_input};
use kabar_fuzz::corpus::{corpus_folder, read_corpus};
use kabar_fuzz::targets::find_target;
use kabar_fuzz::{FuzzTarget, TARGETS};

/// Most bytes of all inputs that are committed.
const CORPUS_BYTES_MAX: usize = 512 << 10;

fn hold(name: &str) {
    let target = find_target(name).unwrap();
    if let Err(failing) = run_campaign(target, 16, CampaignBound::Mutations(target.mutations)) {
        panic!("{failing}");
    }
}

/// A test for each target, and one that none is missing.
macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            hold(stringify!($name));
        })*

        #[test]
        fn each_target_has_a_test_and_a_corpus() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|target| target.name).to_vec(), tested);
            let kept = tested.map(|name| read_corpus(name).iter().map(|(_, input)| input.len()).sum::<usize>());
            assert!(kept.iter().all(|bytes| *bytes > 0), "{kept:?}");
            assert!(kept.iter().sum::<usize>() < CORPUS_BYTES_MAX, "{kept:?}");
            let parent = corpus_folder("");
            let folders = std::fs::read_dir(&parent).unwrap().count();
            assert_eq!(folders, tested.len(), "a folder of {} belongs to no target", parent.display());
        }
    };
}

targets!(component, configuration, cursor, etag_list, http, outbound_answer, prefer, webhook, wit);

/// A target of which a mutation of any cursor of the corpus fails.
const BROKEN: FuzzTarget = FuzzTarget {
    name: "cursor",
    run: |input| assert!(input.len() < 60, "too long"),
    words: &["0123456789012345678901234567890123456789"],
    input_bytes_max: 1000,
    mutations: 0,
};

#[test]
fn a_run_finds_what_is_broken_and_the_input_fails_again() {
    let failing = run_campaign(&BROKEN, 1, CampaignBound::Mutations(10_000)).unwrap_err();
    assert!(failing.to_string().contains("too long"), "{failing}");
    try_input(&BROKEN, "again", &failing.input).unwrap_err();
    let again = run_campaign(&BROKEN, 1, CampaignBound::Mutations(10_000)).unwrap_err();
    assert_eq!(again.input, failing.input, "the seed makes the same inputs");
}

static RUNS: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_panic_of_another_thread_fails_its_input_and_no_other() {
    let target = FuzzTarget {
        run: |_| {
            let first = RUNS.fetch_add(1, Ordering::Relaxed) == 0;
            // Its panic ends the thread, and nothing else.
            let _ended = std::thread::spawn(move || assert!(!first, "a task of the server")).join();
        },
        ..BROKEN
    };
    let failing = try_input(&target, "first", b"").unwrap_err();
    assert!(failing.panic.contains("a task of the server"), "{failing}");
    try_input(&target, "second", b"").unwrap();
}
