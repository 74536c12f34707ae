//! Order of the statuses of a message, and the message's history.
//!
//! Invariants: the current status only moves forward. `failed` yields only to `delivered` and `read`. The
//! history keeps the first sighting of each status and nothing else.

use super::time::Timestamp;

/// Status of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageStatus {
    /// Inbound, not yet read by the business.
    Received,
    /// Outbound, durable here, not yet taken by WhatsApp.
    Pending,
    /// Accepted by WhatsApp.
    Sent,
    /// WhatsApp gave up.
    Failed,
    /// On the recipient's device.
    Delivered,
    /// Read: by the recipient (outbound) or by the business (inbound).
    Read,
    /// Listened to. Only the history has it: the status of such a message is `read`.
    Played,
}

impl MessageStatus {
    /// All that a message can be in.
    pub const ALL: [Self; 6] =
        [Self::Received, Self::Pending, Self::Sent, Self::Failed, Self::Delivered, Self::Read];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
        }
    }

    /// Reads the contract's word for a message's status.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }

    /// Reads the contract's word in a message's history.
    #[must_use]
    pub fn parse_sighted(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| (text == Self::Played.as_str()).then_some(Self::Played))
    }

    /// The status of a message of which this was reported.
    #[must_use]
    pub const fn as_current(self) -> Self {
        match self {
            Self::Played => Self::Read,
            Self::Received | Self::Pending | Self::Sent | Self::Failed | Self::Delivered | Self::Read => self,
        }
    }

    /// Returns `true` when a message in this status moves to `next` when WhatsApp reports it.
    #[must_use]
    pub const fn yields_to(self, next: Self) -> bool {
        match self {
            Self::Received | Self::Delivered => matches!(next, Self::Read),
            Self::Pending => matches!(next, Self::Sent | Self::Failed | Self::Delivered | Self::Read),
            Self::Sent => matches!(next, Self::Failed | Self::Delivered | Self::Read),
            Self::Failed => matches!(next, Self::Delivered | Self::Read),
            Self::Read | Self::Played => false,
        }
    }
}

/// One first sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusSighting {
    /// The status.
    pub status: MessageStatus,
    /// Time of the sighting, by WhatsApp's clock if it reported the status.
    pub at: Timestamp,
    /// `true` when WhatsApp reported it; otherwise `at` is this server's own time.
    pub reported: bool,
}

/// The first sightings of a message's statuses, in the order in which they were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusHistory(Vec<StatusSighting>);

impl StatusHistory {
    /// Records a status that this server saw by itself; `false` when it was seen before.
    pub fn keep_own(&mut self, status: MessageStatus, at: Timestamp) -> bool {
        let first = self.time_of(status).is_none();
        if first {
            self.0.push(StatusSighting { status, at, reported: false });
        }
        first
    }

    /// Records WhatsApp's first report of a status, which replaces this server's own time for it. `false`
    /// when WhatsApp reported it before.
    pub fn keep_reported(&mut self, status: MessageStatus, at: Timestamp) -> bool {
        let seen = StatusSighting { status, at, reported: true };
        match self.0.iter_mut().find(|known| known.status == status) {
            Some(known) if known.reported => false,
            Some(known) => {
                *known = seen;
                true
            }
            None => {
                self.0.push(seen);
                true
            }
        }
    }

    /// Returns the time at which a status was first seen.
    #[must_use]
    pub fn time_of(&self, status: MessageStatus) -> Option<Timestamp> {
        self.0.iter().find(|known| known.status == status).map(|known| known.at)
    }

    /// Every sighting, first to last.
    pub fn iter(&self) -> impl Iterator<Item = StatusSighting> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<StatusSighting> for StatusHistory {
    fn from_iter<I: IntoIterator<Item = StatusSighting>>(sightings: I) -> Self {
        Self(sightings.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status() -> impl Strategy<Value = MessageStatus> {
        proptest::sample::select(&[
            MessageStatus::Sent,
            MessageStatus::Delivered,
            MessageStatus::Read,
            MessageStatus::Failed,
        ])
    }

    fn settle(start: MessageStatus, reports: &[MessageStatus]) -> MessageStatus {
        reports.iter().fold(start, |now, next| if now.yields_to(*next) { *next } else { now })
    }

    proptest! {
        /// However WhatsApp repeats and reorders its reports, the outcome is the same.
        #[test]
        fn the_outcome_does_not_depend_on_order(mut reports in proptest::collection::vec(status(), 0..8)) {
            let first = settle(MessageStatus::Pending, &reports);
            reports.reverse();
            prop_assert_eq!(settle(MessageStatus::Pending, &reports), first);
            reports.sort();
            prop_assert_eq!(settle(MessageStatus::Pending, &reports), first);
            let twice: Vec<_> = reports.iter().chain(&reports).copied().collect();
            prop_assert_eq!(settle(MessageStatus::Pending, &twice), first);
        }

        #[test]
        fn the_history_holds_first_reports_only(reports in proptest::collection::vec((status(), 0_i64..100), 0..20)) {
            let mut history = StatusHistory::default();
            history.keep_own(MessageStatus::Sent, Timestamp::from_millis(500));
            for (status, at) in &reports {
                history.keep_reported(*status, Timestamp::from_millis(*at));
            }
            for seen in history.iter().filter(|seen| seen.reported) {
                let first = reports.iter().find(|(s, _)| *s == seen.status).map(|(_, at)| Timestamp::from_millis(*at));
                prop_assert_eq!(first, Some(seen.at));
            }
            prop_assert!(history.iter().count() <= 4);
            prop_assert!(!history.keep_own(MessageStatus::Sent, Timestamp::EPOCH));
        }
    }

    #[test]
    fn words_round_trip() {
        for status in MessageStatus::ALL {
            assert_eq!(MessageStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(MessageStatus::parse("played"), None);
    }
}
