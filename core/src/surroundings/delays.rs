//! The delays of a debug build.
//!
//! Invariants: a delay is determined by the seed, the kind, and the number of earlier awaits of this kind in
//! the process. Nothing is delayed until [`delay_by_seed`] is called, and only the first call counts.

use std::future::Future;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::AwaitKind;

/// One await in this many begins late, and one in this many ends late.
const ONE_OF: u64 = 16;
/// Number of kinds.
const KINDS: usize = 10;

/// Parameters of the delays: `<seed>:<longest delay in milliseconds>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeededDelays {
    /// Determines each delay.
    pub seed: u64,
    /// The longest delay.
    pub max_ms: u64,
}

impl FromStr for SeededDelays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = text
            .split_once(':')
            .and_then(|(seed, max_ms)| Some(Self { seed: seed.parse().ok()?, max_ms: max_ms.parse().ok()? }));
        read.ok_or_else(|| format!("must be <seed>:<milliseconds>, got {text:?}"))
    }
}

impl SeededDelays {
    /// Returns the delay of the draw of this number, most often none.
    fn draw(self, kind: AwaitKind, number: u64) -> Option<Duration> {
        let mixed = mix_bits(mix_bits(self.seed ^ index_of(kind).rotate_left(32)) ^ number);
        let delayed = mixed.is_multiple_of(ONE_OF);
        delayed.then(|| Duration::from_millis((mixed / ONE_OF) % self.max_ms.saturating_add(1)))
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
const fn mix_bits(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

const fn index_of(kind: AwaitKind) -> u64 {
    match kind {
        AwaitKind::Read => 0,
        AwaitKind::Transaction => 1,
        AwaitKind::Message => 2,
        AwaitKind::Publication => 3,
        AwaitKind::GraphCall => 4,
        AwaitKind::OutboundCall => 5,
        AwaitKind::ForwardedCall => 6,
        AwaitKind::RedisCommand => 7,
        AwaitKind::Delivery => 8,
        AwaitKind::Alarm => 9,
    }
}

struct DelayDraws {
    delays: SeededDelays,
    /// Draws of each kind so far.
    counts: [AtomicU64; KINDS],
}

static DRAWN: OnceLock<DelayDraws> = OnceLock::new();

/// Delays all later awaits of the process. Only the first call counts.
pub fn delay_by_seed(delays: SeededDelays) {
    let begun = DRAWN.set(DelayDraws { delays, counts: Default::default() }).is_ok();
    if begun {
        tracing::warn!(seed = delays.seed, max_ms = delays.max_ms, "what is awaited is delayed by a seed");
    }
}

async fn next_delay(kind: AwaitKind) {
    let Some(drawn) = DRAWN.get() else { return };
    let count = usize::try_from(index_of(kind)).ok().and_then(|index| drawn.counts.get(index));
    let number = count.map_or(0, |count| count.fetch_add(1, Ordering::Relaxed));
    if let Some(delay) = drawn.delays.draw(kind, number) {
        tokio::time::sleep(delay).await;
    }
}

/// Awaits `awaited`, with a possible delay before its start and after its outcome.
pub fn wait_for<F: Future>(kind: AwaitKind, awaited: F) -> impl Future<Output = F::Output> {
    // Boxed, because a future that is moved into another one counts twice in its size.
    let awaited = Box::pin(awaited);
    async move {
        next_delay(kind).await;
        let outcome = awaited.await;
        next_delay(kind).await;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_follow_from_seed_kind_and_number() {
        let delays: SeededDelays = "7:400".parse().unwrap();
        assert_eq!(delays, SeededDelays { seed: 7, max_ms: 400 });
        let drawn =
            |delays: SeededDelays, kind| (0..10_000).map(|n| delays.draw(kind, n)).collect::<Vec<_>>();
        let reads = drawn(delays, AwaitKind::Read);
        assert_eq!(reads, drawn(delays, AwaitKind::Read));
        assert_ne!(reads, drawn(delays, AwaitKind::Alarm));
        assert_ne!(reads, drawn(SeededDelays { seed: 8, ..delays }, AwaitKind::Read));
        let late: Vec<Duration> = reads.into_iter().flatten().collect();
        assert!((400..900).contains(&late.len()), "about one of sixteen: {}", late.len());
        let most = *late.iter().max().unwrap();
        assert!((350..=400).contains(&most.as_millis()), "{most:?}");
    }

    #[test]
    fn what_is_not_a_seed_is_refused() {
        for text in ["", "7", "7:", ":400", "7:400:1", "seven:400", "7:-1"] {
            assert!(text.parse::<SeededDelays>().is_err(), "{text}");
        }
    }
}
