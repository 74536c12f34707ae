//! Panics of all threads.
//!
//! A panic in a task of the server ends that task and nothing else, so a target would not see it. Each one is a fault.
//! Invariant: one target runs at a time, so that a panic is of its input.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

/// Panics of the target that runs; `None` while none does.
static SEEN: Mutex<Option<Vec<String>>> = Mutex::new(None);
static TURN: Mutex<()> = Mutex::new(());
static HOOK: Once = Once::new();

fn replace_seen(with: Option<Vec<String>>) -> Vec<String> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *seen, with).unwrap_or_default()
}

fn watch_panics() {
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = format!("{info}\n{}", std::backtrace::Backtrace::force_capture());
            match &mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(seen) => seen.push(text),
                None => usual(info),
            }
        }));
    });
}

/// Runs this, and returns the first panic of any thread meanwhile, with its backtrace.
pub fn first_panic(run: impl FnOnce()) -> Option<String> {
    watch_panics();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    replace_seen(Some(Vec::new()));
    let unwound = catch_unwind(AssertUnwindSafe(run)).is_err();
    let seen = replace_seen(None).into_iter().next();
    seen.or_else(|| unwound.then(|| "a panic without a message".to_owned()))
}
