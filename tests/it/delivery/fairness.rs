//! One receiver's trouble is nobody else's.

use super::{stage, subscribe, until_deliveries};
use crate::harness::{Receiver, Turn, from, text_from};

const AUTHORS: usize = 150;
const ROUNDS: usize = 10;

#[tokio::test]
async fn a_fast_receiver_gets_everything_while_another_hangs_and_a_third_fails() {
    let (server, tenant) = stage().await;
    let (fast, hanging, failing) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    hanging.plays(|_| Turn::Hang);
    failing.plays(|_| Turn::status(500));
    let (id, _) = subscribe(&tenant, &fast).await;
    let (stuck, _) = subscribe(&tenant, &hanging).await;
    subscribe(&tenant, &failing).await;
    for round in 0..ROUNDS {
        let at = server.clock.read_now();
        let messages: Vec<_> =
            (0..AUTHORS).map(|nth| text_from(&from(nth), at, &format!("{round:03}"))).collect();
        tenant.receives(&messages).await;
    }
    fast.until(AUTHORS * ROUNDS).await;
    let said = fast.conversations();
    assert_eq!(said.len(), AUTHORS);
    assert!(said.values().all(|texts| texts.len() == ROUNDS && texts.is_sorted()));
    until_deliveries(&tenant, &format!("subscription_id={id}&status=pending"), 0).await;
    // The one that hangs has answered nothing meanwhile, and the one that fails is tried less.
    let taken = super::deliveries(&tenant, &format!("subscription_id={stuck}&status=delivered")).await;
    assert!(taken.is_empty() && hanging.count() > 0, "{taken:?}");
    assert!(failing.count() < AUTHORS, "{}", failing.count());
}

#[tokio::test]
async fn a_tenant_whose_receivers_hang_holds_up_no_other_tenant() {
    let (server, tenant) = stage().await;
    let other = server.tenant().await;
    let hanging = Receiver::start().await;
    hanging.plays(|_| Turn::Hang);
    for _ in 0..10 {
        subscribe(&tenant, &hanging).await;
    }
    let at = server.clock.read_now();
    let messages: Vec<_> = (0..100).map(|nth| text_from(&from(nth), at, "hello")).collect();
    tenant.receives(&messages).await;
    // As many as one tenant may have under way.
    hanging.until(256).await;
    let fast = Receiver::start().await;
    subscribe(&other, &fast).await;
    other.receives(&messages).await;
    fast.until(100).await;
}
