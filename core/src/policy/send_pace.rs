//! Pace of an account's sends: the number that may leave now, and the time of the next ones.
//!
//! Invariants: in any window of a second no more messages leave than the pace. They leave in portions of a
//! twentieth of it, and one by one for a slow account. An answer of WhatsApp that the account is too fast
//! halves the pace, once for all calls that were in progress together. Without such answers the pace grows
//! back step by step. This module does not wait: the sender does.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::monotonic::MonotonicInstant;

const SECOND: Duration = Duration::from_secs(1);
/// Portions of a second: a sender at full pace wakes no more often.
const PORTIONS: u32 = 20;
/// A slowed account grows faster by one step after each such time without a refusal by WhatsApp.
const STEP_TIME: Duration = Duration::from_secs(5);
/// Steps from zero to the configured pace.
const STEPS: u32 = 10;

/// Messages that may leave now, and the time of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendAllowance {
    /// Messages that may leave now.
    pub messages: u32,
    /// Time at which to ask for the rest; `None` when there is no rest.
    pub next_at: Option<MonotonicInstant>,
}

/// Messages of the last second, and the account's slowdown.
#[derive(Debug, Clone, Default)]
pub struct SendPace {
    sent: VecDeque<(MonotonicInstant, u32)>,
    slowed: Option<PaceSlowdown>,
    closed_until: Option<MonotonicInstant>,
}

#[derive(Debug, Clone, Copy)]
struct PaceSlowdown {
    to: u32,
    at: MonotonicInstant,
}

impl SendPace {
    /// Returns the messages a second that may leave now, of the `configured` ones; at least 1.
    #[must_use]
    pub fn current_rate(&self, configured: u32, now: MonotonicInstant) -> u32 {
        let configured = configured.max(1);
        let Some(PaceSlowdown { to, at }) = self.slowed else { return configured };
        let steps = now.saturating_since(at).map_or(0, |quiet| quiet.as_millis() / STEP_TIME.as_millis());
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let step = configured.div_ceil(STEPS);
        to.saturating_add(steps.saturating_mul(step)).min(configured)
    }

    /// Takes an allowance for up to `wanted` messages.
    pub fn take_allowance(&mut self, wanted: u32, configured: u32, now: MonotonicInstant) -> SendAllowance {
        if wanted == 0 {
            return SendAllowance { messages: 0, next_at: None };
        }
        if let Some(until) = self.closed_until.filter(|until| *until > now) {
            return SendAllowance { messages: 0, next_at: Some(until) };
        }
        self.sent.retain(|(at, _)| at.saturating_plus(SECOND) > now);
        let most = self.current_rate(configured, now);
        let portion = most.div_ceil(PORTIONS);
        let portion_time = SECOND * portion / most;
        let room_at = |pace: &Self, messages| {
            let in_second = pace.room_at(SECOND, most, messages, now);
            in_second.max(pace.room_at(portion_time, portion, messages, now))
        };
        // Either a whole portion or all that is wanted: a remainder would leave one by one from then on.
        let messages = wanted.min(portion);
        let at = room_at(self, messages);
        if at > now {
            return SendAllowance { messages: 0, next_at: Some(at) };
        }
        self.sent.push_back((now, messages));
        let rest = (wanted - messages).min(portion);
        let next_at = (rest > 0).then(|| room_at(self, rest));
        SendAllowance { messages, next_at }
    }

    /// Records that WhatsApp refused a call that began at `begun_at`, because the account is too fast, and
    /// may have requested a `pause`. Returns `true` when the pace is halved for it.
    pub fn slow_down(
        &mut self,
        configured: u32,
        begun_at: MonotonicInstant,
        pause: Option<Duration>,
        now: MonotonicInstant,
    ) -> bool {
        self.closed_until = self.closed_until.max(pause.map(|pause| now.saturating_plus(pause)));
        if self.slowed.is_some_and(|slowed| begun_at <= slowed.at) {
            return false;
        }
        let to = (self.current_rate(configured, now) / 2).max(1);
        self.slowed = Some(PaceSlowdown { to, at: now });
        true
    }

    /// Returns the time at which `messages` more make at most `most` within `time`.
    fn room_at(&self, time: Duration, most: u32, messages: u32, now: MonotonicInstant) -> MonotonicInstant {
        let mut within: u32 = messages;
        // Latest first: the portion that exceeds the limit is the one that must have expired.
        for (at, sent) in self.sent.iter().rev() {
            within = within.saturating_add(*sent);
            if within > most {
                return at.saturating_plus(time).max(now);
            }
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> MonotonicInstant {
        MonotonicInstant::from_millis(ms)
    }

    /// What leaves when somebody wants so many, again after each of these pauses.
    fn walk(pace: &mut SendPace, configured: u32, asks: &[(u64, u32)]) -> Vec<(u64, u32)> {
        let mut now = 1_000_000;
        let mut left = Vec::new();
        for (pause, wanted) in asks {
            now += pause;
            left.push((now, pace.take_allowance(*wanted, configured, at(now)).messages));
        }
        left
    }

    fn most_within(left: &[(u64, u32)], ms: u64) -> u32 {
        let from = |start: u64| {
            let inside = left.iter().filter(move |(at, _)| (start..start + ms).contains(at));
            inside.map(|(_, messages)| messages).sum()
        };
        left.iter().map(|(start, _)| from(*start)).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_pace_and_no_portion_more_than_its_share(
            configured in 1_u32..=1000,
            asks in proptest::collection::vec((0_u64..120, 0_u32..200), 1..120),
        ) {
            let left = walk(&mut SendPace::default(), configured, &asks);
            prop_assert!(most_within(&left, 1000) <= configured);
            prop_assert!(most_within(&left, 1000 / 20) <= configured.div_ceil(20));
        }

        /// Who asks again whenever told to gets all of the pace, and need not ask for each message.
        #[test]
        fn a_patient_sender_gets_its_pace(configured in 1_u32..=1000) {
            let (mut pace, mut now, mut sent, mut asked) = (SendPace::default(), 0, 0, 0);
            while now < 10_000 {
                let leave = pace.take_allowance(u32::MAX, configured, at(now));
                (sent, asked) = (sent + leave.messages, asked + 1);
                let next = leave.next_at.unwrap().millis();
                prop_assert!(next > now);
                now = next;
            }
            prop_assert!(sent <= 10 * configured && sent * 100 >= 10 * configured * 95, "{sent}");
            prop_assert!(asked <= 10 * 21, "{asked}");
        }

        #[test]
        fn the_pace_stays_within_its_bounds_and_comes_back(
            configured in 1_u32..=1000,
            refusals in proptest::collection::vec((0_u64..3_000, 0_u64..3_000), 1..30),
        ) {
            let (mut pace, mut now) = (SendPace::default(), 10_000);
            for (pause, took) in refusals {
                now += pause;
                let before = pace.current_rate(configured, at(now));
                let slowed = pace.slow_down(configured, at(now - took), None, at(now));
                let after = pace.current_rate(configured, at(now));
                prop_assert_eq!(after, if slowed { (before / 2).max(1) } else { before });
                prop_assert!((1..=configured).contains(&after));
            }
            let mut last = pace.current_rate(configured, at(now));
            for second in 1..=60 {
                let then = pace.current_rate(configured, at(now + second * 1000));
                prop_assert!(then >= last);
                last = then;
            }
            prop_assert_eq!(last, configured);
        }
    }

    #[test]
    fn calls_under_way_together_slow_the_account_down_once() {
        let mut pace = SendPace::default();
        assert!(pace.slow_down(80, at(1_000), None, at(1_200)));
        for begun_at in [1_000, 1_100, 1_200] {
            assert!(!pace.slow_down(80, at(begun_at), None, at(1_300)));
        }
        assert_eq!(pace.current_rate(80, at(1_300)), 40);
        assert!(pace.slow_down(80, at(1_201), None, at(1_400)));
        assert_eq!(pace.current_rate(80, at(1_400)), 20);
        assert_eq!(pace.current_rate(80, at(1_400 + 5_000)), 28);
        assert_eq!(pace.current_rate(80, at(1_400 + 60_000)), 80);
    }

    #[test]
    fn a_pause_that_whatsapp_asks_for_is_kept() {
        let mut pace = SendPace::default();
        pace.slow_down(80, at(1_000), Some(Duration::from_secs(7)), at(1_000));
        pace.slow_down(80, at(1_000), Some(Duration::from_secs(2)), at(1_000));
        assert_eq!(
            pace.take_allowance(3, 80, at(7_999)),
            SendAllowance { messages: 0, next_at: Some(at(8_000)) }
        );
        assert_eq!(pace.take_allowance(1, 80, at(8_000)), SendAllowance { messages: 1, next_at: None });
    }

    #[test]
    fn a_slow_accounts_messages_leave_one_by_one() {
        let mut pace = SendPace::default();
        assert_eq!(pace.take_allowance(9, 5, at(0)), SendAllowance { messages: 1, next_at: Some(at(200)) });
        assert_eq!(pace.take_allowance(9, 5, at(199)).messages, 0);
        assert_eq!(pace.take_allowance(9, 5, at(200)), SendAllowance { messages: 1, next_at: Some(at(400)) });
    }
}
