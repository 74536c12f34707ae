//! Shares of organisations, order among callers, and what is taken back.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::*;

fn organisation(n: u128) -> OrganisationId {
    OrganisationId::from_bits(n)
}

type Waiting = BoxFuture<'static, Result<FairPermit, BoundOverloaded>>;

/// Asks for a permit and waits for it.
fn queue_in(bound: &Arc<FairBound>, tenant: u128, group: Option<&str>) -> Waiting {
    let (bound, group) = (bound.clone(), group.map(Arc::<str>::from));
    let mut waiting = async move {
        match &group {
            Some(group) => bound.acquire_in_group(organisation(tenant), group).await,
            None => bound.acquire(organisation(tenant)).await,
        }
    }
    .boxed();
    assert!((&mut waiting).now_or_never().is_none(), "no permit was to be had at once");
    waiting
}

fn queue(bound: &Arc<FairBound>, tenant: u128) -> Waiting {
    queue_in(bound, tenant, None)
}

fn take_in(bound: &Arc<FairBound>, tenant: u128, group: &str) -> FairPermit {
    let group = Arc::from(group);
    bound.acquire_in_group(organisation(tenant), &group).now_or_never().expect("a free permit").unwrap()
}

fn take(bound: &Arc<FairBound>, tenant: u128) -> FairPermit {
    bound.acquire(organisation(tenant)).now_or_never().expect("a free permit").unwrap()
}

fn granted(waiting: &mut Waiting) -> Option<FairPermit> {
    waiting.now_or_never().map(Result::unwrap)
}

#[test]
fn tenants_take_turns_however_many_wait_for_one() {
    let bound = FairBound::new("test", 1);
    let mut permit = take(&bound, 9);
    let mut loud: Vec<_> = (0..3).map(|_| queue(&bound, 1)).collect();
    let mut quiet = queue(&bound, 2);
    drop(permit);
    permit = granted(&mut loud[0]).unwrap();
    assert!(granted(&mut loud[1]).is_none() && granted(&mut quiet).is_none());
    drop(permit);
    permit = granted(&mut quiet).expect("the other tenant is next, though two waited before it");
    drop(permit);
    assert!(granted(&mut loud[1]).is_some());
}

#[test]
fn a_group_at_its_limit_holds_up_no_other() {
    let bound = FairBound::with_groups("test", 3, 1);
    let first = take_in(&bound, 1, "a");
    let mut second = queue_in(&bound, 1, Some("a"));
    let other = take_in(&bound, 1, "b");
    assert!(bound.is_wanted());
    drop(other);
    assert!(granted(&mut second).is_none());
    drop(first);
    assert!(granted(&mut second).is_some() && !bound.is_wanted());
}

#[test]
fn a_caller_that_gives_up_keeps_no_permit() {
    let bound = FairBound::new("test", 1);
    let permit = take(&bound, 1);
    let gone = queue(&bound, 2);
    let granted_but_gone = queue(&bound, 3);
    let mut last = queue(&bound, 4);
    drop(gone);
    drop(permit);
    drop(granted_but_gone);
    assert!(granted(&mut last).is_some());
    drop(last);
    assert_eq!(bound.lock_ledger().count_holders(), 0, "holders without anything are forgotten");
    let _free_again = take(&bound, 1);
}

#[test]
fn a_tenant_never_holds_the_last_permit() {
    let bound = FairBound::new("test", 8);
    let held: Vec<_> = (0..7).map(|_| take(&bound, 1)).collect();
    let mut eighth = queue(&bound, 1);
    let quiet = take(&bound, 2);
    drop(quiet);
    assert!(granted(&mut eighth).is_none(), "the last one waits for the other tenants");
    drop(held);
    assert!(granted(&mut eighth).is_some());
}

#[test]
fn a_tenant_holds_at_most_half_while_others_wait() {
    let bound = FairBound::new("test", 6);
    let mut loud: Vec<_> = (0..5).map(|_| take(&bound, 1)).collect();
    let _first = take(&bound, 2);
    let (mut more, mut second) = (queue(&bound, 1), queue(&bound, 2));
    loud.pop();
    assert!(granted(&mut more).is_none(), "half of the permits are enough while another tenant waits");
    assert!(granted(&mut second).is_none(), "the last one is kept for a third tenant");
    loud.pop();
    let _second = granted(&mut second).expect("the other tenant gets what is free");
    assert!(granted(&mut more).is_none());
    let _third = take(&bound, 3);
}

#[test]
fn turns_may_all_be_one_tenants() {
    let bound = FairBound::in_turns("test", 2);
    let mut held = vec![take(&bound, 1), take(&bound, 1)];
    let (mut more, mut quiet) = (queue(&bound, 1), queue(&bound, 2));
    held.clear();
    assert!(granted(&mut more).is_some() && granted(&mut quiet).is_some());
}

#[test]
fn permits_that_others_cannot_use_are_not_kept_for_them() {
    let bound = FairBound::with_groups("test", 6, 1);
    let _limited = take_in(&bound, 2, "x");
    let _waiting = queue_in(&bound, 2, Some("x"));
    let held: Vec<_> = ["a", "b", "c", "d"].map(|group| take_in(&bound, 1, group)).into();
    assert_eq!((held.len(), bound.usage().held), (4, 5), "more than half, though another tenant waits");
}

#[test]
fn callers_of_one_tenant_wait_in_bounded_number() {
    let bound = FairBound::with_maxima("test", 1, usize::MAX, 2);
    let _held = take(&bound, 1);
    let _waiting = [queue(&bound, 1), queue(&bound, 1)];
    let refused = bound.acquire(organisation(1)).now_or_never().expect("an answer at once");
    assert_eq!(refused.unwrap_err(), BoundOverloaded);
    let _other = queue(&bound, 2);
    assert_eq!((bound.usage().refused, bound.usage().waiting), (1, 3));
}

#[test]
fn a_tenant_that_uses_up_its_places_leaves_the_others_theirs() {
    let bound = FairBound::with_maxima("test", 100, 2, usize::MAX);
    let mut held = vec![take(&bound, 1), take(&bound, 1)];
    let mut third = queue(&bound, 1);
    drop(take(&bound, 2));
    held.pop();
    assert!(granted(&mut third).is_some());
    drop(held);
    assert_eq!((bound.usage().held, bound.lock_ledger().count_holders()), (0, 0));
}

#[test]
fn places_are_bounded_for_each_and_for_all() {
    let bound = FairBound::with_maxima("test", 3, 2, 0);
    let claim = |tenant| bound.claim(organisation(tenant));
    let (one, two) = (claim(1).unwrap(), claim(1).unwrap());
    assert!(claim(1).is_none(), "two are its own most");
    let three = claim(2).unwrap();
    assert!(claim(2).is_none(), "three are the most of all");
    let four = claim(3).expect("taken back from the tenant with two");
    assert!(one.is_revoked() && !two.is_revoked() && claim(4).is_none());
    drop((one, two));
    assert!(claim(1).is_some());
    drop((three, four));
    assert_eq!((bound.usage().held, bound.lock_ledger().count_holders()), (0, 0));
}

#[test]
fn permits_are_taken_back_from_the_tenant_with_the_most_oldest_first() {
    let bound = FairBound::new("test", 6);
    let mut loud: Vec<_> = std::iter::from_fn(|| bound.claim(organisation(1))).collect();
    assert_eq!(loud.len(), 6, "all of them");
    let quiet: Vec<_> = std::iter::from_fn(|| bound.claim(organisation(2))).collect();
    assert_eq!(quiet.len(), 3, "as many as the loud one has left");
    assert_eq!(
        loud.iter().map(RevocablePermit::is_revoked).collect::<Vec<_>>(),
        [true, true, true, false, false, false]
    );
    assert!(bound.claim(organisation(1)).is_none(), "what was taken back is not taken again");
    drop(loud.remove(0));
    assert!(bound.claim(organisation(1)).is_none(), "a permit that was taken back is given back only once");
    let third = bound.claim(organisation(3)).expect("a third tenant gets one");
    assert_eq!((bound.usage().held, bound.usage().revoked), (6, 4));
    drop((loud, quiet, third));
    assert_eq!((bound.usage().held, bound.lock_ledger().count_holders()), (0, 0));
}

#[test]
fn no_permits_are_none_for_all() {
    assert!(FairBound::new("test", 0).claim(organisation(1)).is_none());
}

#[tokio::test]
async fn a_bound_without_holders_is_released() {
    let bound = FairBound::new("test", 2);
    bound.wait_released().await;
    let permit = take(&bound, 1);
    let mut released = Box::pin(bound.wait_released());
    assert!(futures_util::poll!(released.as_mut()).is_pending());
    drop(permit);
    released.await;
}

/// A step of one of four tenants.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(u128),
    GiveBack(usize),
    GiveUp(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..4_u128).prop_map(Step::Ask),
        2 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::GiveUp),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn shares_hold_in_every_order(permits in 1..9_usize, steps in steps()) {
        let bound = FairBound::new("test", permits);
        let mut held: Vec<(u128, FairPermit)> = Vec::new();
        let mut waiting: Vec<(u128, Waiting)> = Vec::new();
        for step in steps {
            match step {
                Step::Ask(tenant) => {
                    let bound = bound.clone();
                    waiting.push((tenant, async move { bound.acquire(organisation(tenant)).await }.boxed()));
                }
                Step::GiveBack(nth) if !held.is_empty() => drop(held.remove(nth % held.len())),
                Step::GiveUp(nth) if !waiting.is_empty() => drop(waiting.remove(nth % waiting.len())),
                Step::GiveBack(_) | Step::GiveUp(_) => {}
            }
            waiting.retain_mut(|(tenant, caller)| match granted(caller) {
                Some(permit) => { held.push((*tenant, permit)); false }
                None => true,
            });
            let of = |tenant: u128| held.iter().filter(|(one, _)| *one == tenant).count();
            prop_assert_eq!(bound.usage().held, held.len());
            prop_assert_eq!(bound.usage().waiting, waiting.len());
            prop_assert!(held.len() <= permits);
            for tenant in 0..4 {
                let wants = waiting.iter().any(|(one, _)| *one == tenant);
                prop_assert!(!wants || of(tenant) > 0 || held.len() == permits, "a tenant without any waits for none");
                prop_assert!(of(tenant) < permits || permits == 1, "one tenant holds all");
                let is_alone = waiting.iter().all(|(one, _)| *one == tenant);
                prop_assert!(!wants || !is_alone || held.len() + 1 >= permits, "permits stand idle");
            }
        }
        drop((held, waiting));
        prop_assert_eq!(bound.lock_ledger().count_holders(), 0);
    }
}
