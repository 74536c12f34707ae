//! The Redis cache against a real Redis. `tests/services run <command>` provides one.

mod budgets;
mod pages;

use std::sync::Arc;
use std::time::Duration;

use super::RedisCache;
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::metrics::Metrics;

/// Far above what anything here takes.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
fn address() -> String {
    std::env::var("KABAR_TEST_REDIS_URL")
        .expect("KABAR_TEST_REDIS_URL names no Redis: run this under `tests/services run`")
}

/// A node of the installation of this key, by a clock of its own, with Redis up.
async fn node(key: &[u8; 32], clock: Arc<Clock>) -> RedisCache {
    let memory = RedisCache::open(&address(), key, clock, Arc::new(Metrics::default())).unwrap();
    until(&memory, true).await;
    memory
}

async fn until(memory: &RedisCache, up: bool) {
    let link = memory.0.link.as_ref().unwrap();
    tokio::time::timeout(WAIT_TIMEOUT, link.wait_for(up)).await.expect("Redis changes in time");
}

fn noon() -> Arc<Clock> {
    Arc::new(Clock::manual_clock(Timestamp::from_seconds(1_781_866_800)))
}

/// A connection of somebody else's.
async fn stranger() -> redis::aio::MultiplexedConnection {
    redis::Client::open(address()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// Drops the connection without a word to anybody, as a network would.
fn cut(memory: &RedisCache) {
    memory.0.link.as_ref().unwrap().break_open();
}
