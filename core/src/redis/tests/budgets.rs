//! The law of budgets over Redis: one node is the bucket, several are never more than it.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::policy::token_bucket::TokenBucket;
use crate::redis::RedisBudget;

/// What may happen to one budget.
#[derive(Debug, Clone)]
enum Step {
    Take,
    GiveBack,
    Wait(u16),
    Resize(u32),
    /// The sweeper comes by.
    Sweep,
    /// Redis loses this budget.
    Forget,
    /// Redis cannot be reached for the next few steps.
    Cut,
    Mend,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Take),
        4 => Just(Step::GiveBack),
        4 => (0_u16..5_000).prop_map(Step::Wait),
        1 => (1_u32..2_000).prop_map(Step::Resize),
        2 => Just(Step::Sweep),
        1 => Just(Step::Forget),
        1 => Just(Step::Cut),
        1 => Just(Step::Mend),
    ]
}

async fn forget(budget: &Arc<RedisBudget>) {
    let mut stranger = stranger().await;
    redis::cmd("DEL").arg(budget.redis_key()).exec_async(&mut stranger).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// One node over Redis quotes, request by request, what the bucket of one process quotes, whatever
    /// becomes of Redis meanwhile.
    #[test]
    fn one_node_quotes_what_the_bucket_quotes(
        capacity in 1_u32..2_000,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async move {
            let clock = noon();
            let memory = node(&rand::random(), clock.clone()).await;
            let budget = memory.budget("org/read", capacity);
            let mut capacity = capacity;
            let mut bucket = TokenBucket::new_full(capacity, clock.read_now());
            for (nth, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Take => {
                        let now = clock.read_now();
                        let (here, there) = (bucket.take_token(capacity, now), budget.take_token(capacity, now).await);
                        prop_assert_eq!(there, here, "step {}", nth);
                    }
                    Step::GiveBack => {
                        // Only what was taken is given back.
                        let now = clock.read_now();
                        let (here, there) = (bucket.take_token(capacity, now), budget.take_token(capacity, now).await);
                        prop_assert_eq!(there, here, "step {}", nth);
                        if here.retry_after_s.is_none() {
                            prop_assert_eq!(budget.give_back(), bucket.give_back(), "step {}", nth);
                        }
                    }
                    Step::Wait(ms) => clock.advance_manual(Duration::from_millis(ms.into())),
                    Step::Resize(other) => capacity = other,
                    Step::Sweep => budget.return_idle().await,
                    Step::Forget => forget(&budget).await,
                    Step::Cut => cut(&memory),
                    Step::Mend => until(&memory, true).await,
                }
            }
            memory.close().await;
            Ok(())
        })?;
    }

    /// Several nodes together let through no more than the capacity and what time has earned.
    #[test]
    fn nodes_together_never_exceed_the_budget(
        capacity in 1_u32..400,
        nodes in 2_usize..5,
        steps in proptest::collection::vec((0_usize..5, 0_u8..10, 0_u64..1_500), 1..300),
    ) {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async move {
            let (clock, key) = (noon(), rand::random());
            let mut peers = Vec::new();
            for _ in 0..nodes {
                let memory = node(&key, clock.clone()).await;
                memory.set_nodes(u32::try_from(nodes).unwrap());
                peers.push((memory.budget("org/read", capacity), memory));
            }
            // The moments at which a token was spent for good.
            let mut spent: Vec<i64> = Vec::new();
            for (who, what, ms) in steps {
                let nth = who % nodes;
                match what {
                    0 => clock.advance_manual(Duration::from_millis(ms)),
                    1 => peers[nth].0.return_idle().await,
                    2 if ms < 300 => {
                        // A node dies with what it holds, and another one takes its place.
                        let memory = node(&key, clock.clone()).await;
                        memory.set_nodes(u32::try_from(nodes).unwrap());
                        peers[nth] = (memory.budget("org/read", capacity), memory);
                    }
                    3 => {
                        // A 304.
                        if peers[nth].0.take_token(capacity, clock.read_now()).await.retry_after_s.is_none() {
                            let _quote = peers[nth].0.give_back();
                        }
                    }
                    _ => {
                        for _ in 0..=ms / 100 {
                            let now = clock.read_now();
                            let quote = peers[nth].0.take_token(capacity, now).await;
                            prop_assert!(quote.remaining <= capacity);
                            if quote.retry_after_s.is_none() {
                                spent.push(now.millis());
                            }
                        }
                    }
                }
            }
            for (from, began) in spent.iter().enumerate() {
                for (to, ended) in spent.iter().enumerate().skip(from) {
                    let stretch = u64::try_from(ended - began).unwrap();
                    let allowed = u64::from(capacity) + stretch * u64::from(capacity) / 60_000;
                    prop_assert!(u64::try_from(to - from + 1).unwrap() <= allowed, "{stretch} ms, {allowed}");
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_small_budget_can_be_used_up_from_every_node() {
    let (clock, key) = (noon(), rand::random());
    let mut peers = Vec::new();
    for _ in 0..3 {
        let memory = node(&key, clock.clone()).await;
        memory.set_nodes(3);
        peers.push((memory.budget("org/write", 60), memory));
    }
    let mut passed = [0; 3];
    for _ in 0..30 {
        for (nth, (budget, _)) in peers.iter().enumerate() {
            passed[nth] += u32::from(budget.take_token(60, clock.read_now()).await.retry_after_s.is_none());
        }
    }
    assert_eq!(passed, [20, 20, 20]);
}

#[tokio::test]
async fn an_idle_lease_goes_back_to_the_others() {
    let (clock, key) = (noon(), rand::random());
    let (one, other) = (node(&key, clock.clone()).await, node(&key, clock.clone()).await);
    let (mine, theirs) = (one.budget("org/read", 600), other.budget("org/read", 600));
    for _ in 0..20 {
        assert_eq!(mine.take_token(600, clock.read_now()).await.retry_after_s, None);
    }
    let before = one.0.metrics.budget_refreshes.get();
    clock.advance_manual(Duration::from_millis(999));
    mine.return_idle().await;
    assert_eq!(one.0.metrics.budget_refreshes.get(), before, "it may still be wanted");
    clock.advance_manual(Duration::from_millis(1));
    mine.return_idle().await;
    assert_eq!(one.0.metrics.budget_refreshes.get(), before + 1);
    // 580, and ten for a second: every one of them is there for the other node.
    assert_eq!(theirs.take_token(600, clock.read_now()).await.remaining, 589);
}

#[tokio::test]
async fn unchanged_answers_cost_no_round_trip() {
    let clock = noon();
    let memory = node(&rand::random(), clock.clone()).await;
    let budget = memory.budget("org/read", 600);
    for _ in 0..1000 {
        assert_eq!(budget.take_token(600, clock.read_now()).await.remaining, 599);
        assert_eq!(budget.give_back().remaining, 600);
    }
    assert_eq!(memory.0.metrics.budget_refreshes.get(), 1);
}

#[tokio::test]
async fn requests_that_come_together_share_a_visit() {
    let clock = noon();
    let memory = node(&rand::random(), clock.clone()).await;
    let budget = memory.budget("org/read", 6000);
    let asks: Vec<_> = (0..64).map(|_| budget.take_token(6000, clock.read_now())).collect();
    let all = async {
        let mut left: Vec<u32> = futures_of(asks).await.into_iter().map(|quote| quote.remaining).collect();
        left.sort_unstable();
        left
    };
    assert_eq!(all.await, (5936..6000).collect::<Vec<u32>>());
    let visits = memory.0.metrics.budget_refreshes.get();
    assert!(visits <= 4, "{visits}");
}

/// All of them at the same time.
async fn futures_of<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    waiting.into_iter().map(|(_, output)| output.unwrap()).collect()
}

#[tokio::test]
async fn what_was_spent_alone_is_reported() {
    let (clock, key) = (noon(), rand::random());
    let (one, other) = (node(&key, clock.clone()).await, node(&key, clock.clone()).await);
    for memory in [&one, &other] {
        memory.set_nodes(2);
    }
    let (mine, theirs) = (one.budget("org/read", 60), other.budget("org/read", 60));
    for left in (50..60).rev() {
        assert_eq!(theirs.take_token(60, clock.read_now()).await.remaining, left);
    }
    assert_eq!(mine.take_token(60, clock.read_now()).await.remaining, 49);
    cut(&one);
    // Nothing here yields to the keeper, so Redis stays away.
    let mut alone = 0;
    while mine.take_token(60, clock.read_now()).await.retry_after_s.is_none() {
        alone += 1;
    }
    assert_eq!(alone, 24, "it knew of 49, and one half of them is its own");
    until(&one, true).await;
    clock.advance_manual(Duration::from_secs(1));
    // One token earned, and one taken.
    assert_eq!(mine.take_token(60, clock.read_now()).await.remaining, 49 - alone);
}

#[tokio::test]
async fn nonsense_in_redis_is_swept_aside() {
    let clock = noon();
    let memory = node(&rand::random(), clock.clone()).await;
    let mut stranger = stranger().await;
    for fields in [
        vec!["units", "nan", "at", "1", "capacity", "60", "by", "x", "run", "1", "seq", "1"],
        vec!["units", "-5", "at", "1e300", "capacity", "inf", "by", "", "run", "", "seq", ""],
        vec!["units", "99999999999999999999", "at", "1", "capacity", "60", "by", "x", "run", "1", "seq", "1"],
        vec!["units", "0", "at", "9999999999999", "capacity", "60", "by", "x", "run", "1", "seq", "1"],
        vec!["lease:x", "a b c", "lease:y", "1 99999999999999999999999 1", "lease:", "", "else", "\u{0}"],
    ] {
        let budget = memory.budget(&format!("org/{:x}", rand::random::<u64>()), 60);
        redis::cmd("HSET").arg(budget.redis_key()).arg(&fields).exec_async(&mut stranger).await.unwrap();
        assert_eq!(budget.take_token(60, clock.read_now()).await.remaining, 59, "{fields:?}");
    }
    for (command, value) in [("SET", "junk"), ("LPUSH", "junk"), ("SADD", "junk")] {
        let budget = memory.budget(&format!("org/{:x}", rand::random::<u64>()), 60);
        redis::cmd(command).arg(budget.redis_key()).arg(value).exec_async(&mut stranger).await.unwrap();
        assert_eq!(budget.take_token(60, clock.read_now()).await.remaining, 59, "{command}");
    }
    assert!(memory.0.link.as_ref().unwrap().is_up(), "nobody suffers for it");
}

#[tokio::test]
async fn a_report_that_comes_late_is_not_heard() {
    let clock = noon();
    let memory = node(&rand::random(), clock.clone()).await;
    let budget = memory.budget("org/read", 60);
    let late = budget.lock_lease().build_report(60, 1, 1, clock.read_now());
    assert_eq!(budget.take_token(60, clock.read_now()).await.remaining, 59);
    let link = memory.0.link.as_ref().unwrap();
    assert_eq!(budget.request_lease(link, &late).await.unwrap(), None);
    assert_eq!(budget.take_token(60, clock.read_now()).await.remaining, 58);
}

#[tokio::test]
async fn what_a_stopped_node_held_is_there_for_the_next() {
    let (clock, key) = (noon(), rand::random());
    let memory = node(&key, clock.clone()).await;
    let budget = memory.budget("org/read", 600);
    for _ in 0..10 {
        let _quote = budget.take_token(600, clock.read_now()).await;
    }
    memory.close().await;
    let next = node(&key, clock.clone()).await;
    assert_eq!(next.budget("org/read", 600).take_token(600, clock.read_now()).await.remaining, 589);
}

#[tokio::test]
async fn installations_do_not_see_each_other() {
    let clock = noon();
    let (one, other) = (node(&[1; 32], clock.clone()).await, node(&[2; 32], clock.clone()).await);
    let name = format!("org/{:x}", rand::random::<u64>());
    let (mine, theirs) = (one.budget(&name, 60), other.budget(&name, 60));
    for left in (50..60).rev() {
        assert_eq!(mine.take_token(60, clock.read_now()).await.remaining, left);
    }
    assert_eq!(theirs.take_token(60, clock.read_now()).await.remaining, 59);
}
