//! Rules by which sends fail: recipient, trigger and verdict.
//!
//! Invariants: rules are evaluated in their order and the first that fires decides; the same calls in the
//! same order, with the same random numbers, get the same verdicts; the recorded history is bounded. `call`
//! renders a verdict as a response.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::address::Address;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use rand::rngs::StdRng;
use serde::Deserialize;

use super::seeded_random::roll_percent;

/// Most numbers, or pairs of number and recipient, with a rate that one rule tracks at a time.
const WATCHED_MAX: usize = 100_000;

/// A rule by which sends fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRule {
    /// Recipient that it applies to; `None`: all of them.
    pub to: Option<Phone>,
    /// Condition under which it fires.
    pub trigger: RuleTrigger,
    /// Number of times that it fires at most; `None`: without end.
    pub times: Option<u32>,
    /// Outcome of the send.
    pub verdict: RuleVerdict,
}

/// Condition under which a rule fires, among the sends that it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleTrigger {
    /// Every send.
    Always,
    /// This percentage of sends, at random.
    Percent(u8),
    /// Every nth send; 0 never fires.
    Every(u32),
    /// Sends beyond a rate: when this many were let through in the time before.
    Beyond {
        /// Sends that are let through, at most 100 000.
        sends: u32,
        /// Length of the time window.
        within: Duration,
        /// Scope of the count.
        each: RateScope,
    },
}

/// Scope in which a rate counts sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateScope {
    /// All sends of one business number.
    Number,
    /// All sends of one business number to one recipient.
    Recipient,
}

/// Outcome of a send when a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleVerdict {
    /// Meta's error of this number, reported as Meta does: in the response, or by a `failed` status.
    Error(i64),
    /// A bare HTTP status without an error of Meta's, as gateways answer.
    Http(u16),
    /// The connection is cut; nothing was accepted.
    Cut,
    /// It is accepted, and held back for an assessment of its quality.
    Held {
        /// Time after which it is sent after all; `None`: never.
        release_after: Option<Duration>,
    },
}

impl FailureRule {
    /// Builds a rule by which every send fails.
    #[must_use]
    pub const fn always(verdict: RuleVerdict) -> Self {
        Self { to: None, trigger: RuleTrigger::Always, times: None, verdict }
    }

    /// Builds a rule by which sends beyond a rate fail with this error of Meta's (130429 for a number, 131056
    /// for a recipient).
    #[must_use]
    pub const fn rate_limit(sends: u32, within: Duration, each: RateScope, code: i64) -> Self {
        let trigger = RuleTrigger::Beyond { sends, within, each };
        Self { to: None, trigger, times: None, verdict: RuleVerdict::Error(code) }
    }
}

/// The fields of a send that rules look at.
pub(super) struct RuleSubject<'a> {
    pub(super) number: &'a PhoneNumberId,
    pub(super) to: &'a Address,
    pub(super) now: Timestamp,
}

/// The rules in force, with their state.
#[derive(Debug, Default)]
pub(super) struct RuleSet(Vec<RuleState>);

#[derive(Debug)]
struct RuleState {
    rule: FailureRule,
    seen: u32,
    fired: u32,
    passed: HashMap<(PhoneNumberId, Option<Address>), VecDeque<Timestamp>>,
}

impl RuleSet {
    pub(super) fn new(rules: Vec<FailureRule>) -> Self {
        let clause = |rule| RuleState { rule, seen: 0, fired: 0, passed: HashMap::new() };
        Self(rules.into_iter().map(clause).collect())
    }

    /// Returns the verdict of the first rule that fires.
    pub(super) fn find_verdict(
        &mut self,
        subject: &RuleSubject<'_>,
        dice: &mut StdRng,
    ) -> Option<RuleVerdict> {
        self.0.iter_mut().find_map(|clause| clause.is_triggered(subject, dice).then_some(clause.rule.verdict))
    }
}

impl RuleState {
    fn is_triggered(&mut self, subject: &RuleSubject<'_>, dice: &mut StdRng) -> bool {
        let elsewhere = self.rule.to.as_ref().is_some_and(|to| Some(to) != subject.to.phone());
        if elsewhere || self.rule.times.is_some_and(|times| self.fired >= times) {
            return false;
        }
        self.seen = self.seen.wrapping_add(1);
        let fires = match self.rule.trigger {
            RuleTrigger::Always => true,
            RuleTrigger::Percent(percent) => roll_percent(dice, percent),
            RuleTrigger::Every(nth) => nth != 0 && self.seen.is_multiple_of(nth),
            RuleTrigger::Beyond { sends, within, each } => !self.lets_by(subject, sends, within, each),
        };
        self.fired = self.fired.saturating_add(u32::from(fires));
        fires
    }

    /// Counts a send if the rate allows it.
    fn lets_by(&mut self, subject: &RuleSubject<'_>, sends: u32, within: Duration, each: RateScope) -> bool {
        let over = |at: &Timestamp| at.plus_duration(within) <= subject.now;
        let recipient = (each == RateScope::Recipient).then(|| subject.to.clone());
        let key = (subject.number.clone(), recipient);
        if self.passed.len() >= WATCHED_MAX && !self.passed.contains_key(&key) {
            self.passed.retain(|_, times| times.back().is_some_and(|last| !over(last)));
            if self.passed.len() >= WATCHED_MAX {
                return true;
            }
        }
        let times = self.passed.entry(key).or_default();
        while times.front().is_some_and(over) {
            times.pop_front();
        }
        let room = times.len() < usize::try_from(sends).unwrap_or(usize::MAX);
        if room {
            times.push_back(subject.now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const LIMIT: RuleVerdict = RuleVerdict::Error(130_429);

    /// Lists the sends that fail, of those at these milliseconds to these recipients.
    fn failing(rules: &[FailureRule], sends: &[(i64, &str)]) -> Vec<bool> {
        let mut book = RuleSet::new(rules.to_vec());
        let mut dice = StdRng::seed_from_u64(1);
        let number = PhoneNumberId::parse("100200300400501").unwrap();
        let fails = |(at, to): &(i64, &str)| {
            let to = Address::Phone(Phone::parse(to).unwrap());
            let subject = RuleSubject { number: &number, to: &to, now: Timestamp::from_millis(*at) };
            book.find_verdict(&subject, &mut dice).is_some()
        };
        sends.iter().map(fails).collect()
    }

    const A: &str = "12025550141";
    const B: &str = "12025550142";

    #[test]
    fn a_rate_slides_and_refused_sends_do_not_count() {
        let second = Duration::from_secs(1);
        let number = [FailureRule::rate_limit(2, second, RateScope::Number, 130_429)];
        let sends = [(0, A), (600, B), (700, A), (999, A), (1000, A), (1001, A), (1600, A)];
        assert_eq!(failing(&number, &sends), [false, false, true, true, false, true, false]);
        let pair = [FailureRule::rate_limit(1, second, RateScope::Recipient, 131_056)];
        assert_eq!(failing(&pair, &[(0, A), (1, B), (2, A), (1000, A)]), [false, false, true, false]);
        assert_eq!(failing(&[FailureRule::rate_limit(0, second, RateScope::Number, 4)], &[(0, A)]), [true]);
    }

    #[test]
    fn counted_rules_fire_when_due_and_as_often_as_allowed() {
        let sends: Vec<_> = (0..7).map(|_| (0, A)).collect();
        let third = FailureRule { trigger: RuleTrigger::Every(3), ..FailureRule::always(LIMIT) };
        assert_eq!(
            failing(std::slice::from_ref(&third), &sends),
            [false, false, true, false, false, true, false]
        );
        let once = FailureRule { times: Some(1), ..third };
        assert_eq!(failing(&[once], &sends), [false, false, true, false, false, false, false]);
        let never = FailureRule { trigger: RuleTrigger::Every(0), ..FailureRule::always(LIMIT) };
        assert_eq!(failing(&[never], &sends), [false; 7]);
        let nobody = FailureRule { trigger: RuleTrigger::Percent(0), ..FailureRule::always(LIMIT) };
        let all = FailureRule { trigger: RuleTrigger::Percent(100), ..FailureRule::always(LIMIT) };
        assert_eq!((failing(&[nobody], &sends), failing(&[all], &sends)), (vec![false; 7], vec![true; 7]));
    }

    #[test]
    fn the_first_rule_that_fires_decides_and_others_are_left_alone() {
        let only_b = FailureRule { to: Phone::parse(B), ..FailureRule::always(RuleVerdict::Cut) };
        let mut book = RuleSet::new(vec![only_b, FailureRule::always(RuleVerdict::Http(502))]);
        let number = PhoneNumberId::parse("100200300400501").unwrap();
        let mut dice = StdRng::seed_from_u64(1);
        for (to, verdict) in [(A, RuleVerdict::Http(502)), (B, RuleVerdict::Cut)] {
            let to = Address::Phone(Phone::parse(to).unwrap());
            let subject = RuleSubject { number: &number, to: &to, now: Timestamp::EPOCH };
            assert_eq!(book.find_verdict(&subject, &mut dice), Some(verdict));
        }
    }
}
