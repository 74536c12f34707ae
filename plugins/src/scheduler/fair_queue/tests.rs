//! Turns go round among tenants, and nobody who gave up keeps a permit.

use futures_util::future::{BoxFuture, FutureExt};

use super::*;

fn organisation(n: u128) -> OrganisationId {
    OrganisationId::from_bits(n)
}

/// Asks for a permit and keeps the place in the line.
fn ask(turns: &Arc<FairQueue>, tenant: u128, plugin: &str) -> BoxFuture<'static, QueuePermit> {
    let (turns, plugin) = (turns.clone(), Arc::from(plugin));
    let mut waiting = async move { turns.acquire_permit(organisation(tenant), &plugin).await }.boxed();
    assert!((&mut waiting).now_or_never().is_none(), "nobody was to be seated at once");
    waiting
}

fn take(turns: &Arc<FairQueue>, tenant: u128, plugin: &str) -> QueuePermit {
    turns.acquire_permit(organisation(tenant), &Arc::from(plugin)).now_or_never().expect("a free seat")
}

fn is_called(waiting: &mut BoxFuture<'static, QueuePermit>) -> Option<QueuePermit> {
    waiting.now_or_never()
}

#[test]
fn tenants_take_turns_however_many_wait_for_one() {
    let turns = FairQueue::new(1, 8);
    let mut seat = take(&turns, 9, "x");
    let mut loud: Vec<_> = (0..3).map(|_| ask(&turns, 1, "a")).collect();
    let mut quiet = ask(&turns, 2, "b");
    drop(seat);
    seat = is_called(&mut loud[0]).unwrap();
    assert!(is_called(&mut loud[1]).is_none() && is_called(&mut quiet).is_none());
    drop(seat);
    seat = is_called(&mut quiet).expect("the other tenant is next, though two waited before it");
    drop(seat);
    assert!(is_called(&mut loud[1]).is_some());
}

#[test]
fn a_plugin_at_its_cap_holds_up_no_other() {
    let turns = FairQueue::new(3, 1);
    let first = take(&turns, 1, "a");
    let mut second = ask(&turns, 1, "a");
    let other = take(&turns, 1, "b");
    assert!(turns.is_wanted());
    drop(other);
    assert!(is_called(&mut second).is_none());
    drop(first);
    assert!(is_called(&mut second).is_some() && !turns.is_wanted());
}

#[test]
fn who_gives_up_keeps_no_seat() {
    let turns = FairQueue::new(1, 8);
    let seat = take(&turns, 1, "a");
    let gone = ask(&turns, 2, "b");
    let called_but_gone = ask(&turns, 3, "c");
    let mut last = ask(&turns, 4, "d");
    drop(gone);
    drop(seat);
    drop(called_but_gone);
    assert!(is_called(&mut last).is_some());
    drop(last);
    let _free_again = take(&turns, 1, "a");
}
