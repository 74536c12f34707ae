//! Waits for what is asynchronous: for an event, or for a condition that is looked at again and again.
//!
//! Invariants: every wait ends within [`WAIT_TIMEOUT`]; between two looks there is a pause, which only this
//! file makes; a wait in vain fails with the place where it began, the looks it took and what it saw last.

use std::fmt::Debug;
use std::panic::Location;
use std::time::Duration;

use kabar_core::clock::Clock;

/// Far above what anything here takes; only a test that would fail reaches it.
const WAIT_TIMEOUT: Duration = Duration::from_secs(90);
/// The pause between two looks. It promises nothing and nothing counts on how long it is: on two processors,
/// looking without a pause kept PostgreSQL from both of them for seconds.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Waits for an event, with a bound.
#[track_caller]
pub(crate) fn patiently<T>(event: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        let waited = tokio::time::timeout(WAIT_TIMEOUT, event).await;
        waited.unwrap_or_else(|_| panic!("waited in vain at {place}: no event in {WAIT_TIMEOUT:?}"))
    }
}

/// Looks until the condition holds.
#[track_caller]
pub(crate) fn until<F>(condition: impl FnMut() -> F) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
{
    look_again(condition, |holds| if holds { Ok(()) } else { Err(holds) })
}

/// Looks until there is something, and gives it.
#[track_caller]
pub(crate) fn until_some<T, F>(look: impl FnMut() -> F) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    look_again(look, |found| found.ok_or(None::<()>))
}

/// Looks until what is seen is as wanted, and gives it. A wait in vain prints what was seen last.
#[track_caller]
pub(crate) fn until_matches<T: Debug, F>(
    look: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> impl Future<Output = T>
where
    F: Future<Output = T>,
{
    look_again(look, move |seen| if wanted(&seen) { Ok(seen) } else { Err(seen) })
}

/// Looks until the condition holds, and advances a manual clock by a step after each look in vain.
#[track_caller]
pub(crate) fn until_advancing<F>(
    clock: &Clock,
    step: Duration,
    condition: impl FnMut() -> F,
) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
{
    look_again(condition, move |holds| {
        if holds {
            return Ok(());
        }
        clock.advance_manual(step);
        Err(holds)
    })
}

/// Looks until what is seen is accepted; what is not accepted comes back as the error. The looks are plain
/// closures that give futures, not `AsyncFnMut`: the future of a wait over one of those is not seen to be
/// `Send`, and some tests wait in tasks of their own.
#[track_caller]
fn look_again<S, T, E: Debug, F>(
    mut look: impl FnMut() -> F,
    accept: impl Fn(S) -> Result<T, E>,
) -> impl Future<Output = T>
where
    F: Future<Output = S>,
{
    let place = Location::caller();
    async move {
        let (mut looks, mut last) = (0_u32, None);
        let accepted = async {
            loop {
                match accept(look().await) {
                    Ok(wanted) => return wanted,
                    Err(seen) => last = Some(seen),
                }
                looks += 1;
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(WAIT_TIMEOUT, accepted).await;
        waited.unwrap_or_else(|_| {
            let last = last.map_or_else(|| "nothing".to_owned(), |seen| format!("{seen:?}"));
            panic!("waited in vain at {place}: {looks} looks in {WAIT_TIMEOUT:?}, the last one saw {last}")
        })
    }
}
