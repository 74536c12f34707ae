//! Health of a subscriber, which decides if it is tried: a webhook's breaker, or a hook's rate of failures.
//!
//! The rules are in `kabar_core::policy`; this module only selects between them.

use std::time::Duration;

use kabar_core::clock::ClockReading;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::domain::plugin::PluginState;
use kabar_core::domain::subscriber::Subscriber;
use kabar_core::policy::circuit_breaker::CircuitBreaker;
use kabar_core::policy::failure_rate::{FailureRate, HealthChange};

/// Health of a webhook or of a hook.
#[derive(Debug, Clone)]
pub(crate) enum SubscriberHealth {
    /// Breaker of a webhook.
    Webhook(CircuitBreaker),
    /// Failure rate of a hook.
    Hook(FailureRate),
}

impl SubscriberHealth {
    pub(crate) fn from_subscriber(subscriber: &Subscriber, now: &ClockReading) -> Self {
        match subscriber {
            Subscriber::Webhook(_) => Self::Webhook(CircuitBreaker::default()),
            Subscriber::Hook(plugin) => Self::Hook(match plugin.standing.state {
                PluginState::Paused => {
                    let paused_for = now.wall.duration_since(plugin.standing.since).unwrap_or_default();
                    FailureRate::start_paused(paused_for, now.monotonic)
                }
                PluginState::Active | PluginState::Disabled => FailureRate::default(),
            }),
        }
    }

    /// Applies a change of the subscriber's row: a paused hook may have been resumed through the API.
    pub(crate) fn follow_change(&mut self, subscriber: &Subscriber, now: &ClockReading) {
        if let (Self::Hook(rate), Subscriber::Hook(plugin)) = (&*self, subscriber) {
            let paused = plugin.standing.state == PluginState::Paused;
            if paused == rate.is_closed() {
                *self = Self::from_subscriber(subscriber, now);
            }
        }
    }

    /// Begins the time anew for which a paused hook has failed.
    pub(crate) fn restart_pause(&mut self, now: MonotonicInstant) {
        if let Self::Hook(rate) = self
            && !rate.is_closed()
        {
            *rate = FailureRate::start_paused(Duration::ZERO, now);
        }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        match self {
            Self::Webhook(breaker) => breaker.is_closed(),
            Self::Hook(rate) => rate.is_closed(),
        }
    }

    pub(crate) fn retry_at(&self) -> Option<MonotonicInstant> {
        match self {
            Self::Webhook(breaker) => breaker.opens_until(),
            Self::Hook(rate) => rate.paused_until(),
        }
    }

    pub(crate) fn take_outcome(&mut self, now: MonotonicInstant) -> bool {
        match self {
            Self::Webhook(breaker) => breaker.take_outcome(now),
            Self::Hook(rate) => rate.take_outcome(now),
        }
    }

    pub(crate) fn give_back(&mut self, now: MonotonicInstant) {
        match self {
            Self::Webhook(breaker) => breaker.give_back(now),
            Self::Hook(rate) => rate.give_back(now),
        }
    }

    pub(crate) fn note_well(&mut self, now: MonotonicInstant) -> HealthChange {
        match self {
            Self::Webhook(breaker) => turned(breaker.note_well(), HealthChange::Recovered),
            Self::Hook(rate) => rate.note_well(now),
        }
    }

    pub(crate) fn note_failure(&mut self, now: MonotonicInstant) -> HealthChange {
        match self {
            Self::Webhook(breaker) => turned(breaker.note_failure(now), HealthChange::Paused),
            Self::Hook(rate) => rate.note_failure(now),
        }
    }
}

const fn turned(has: bool, turn: HealthChange) -> HealthChange {
    if has { turn } else { HealthChange::None }
}
