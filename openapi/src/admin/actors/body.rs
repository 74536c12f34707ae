//! Body of a loaded account: revision, sequence, queue depths and rates.

use kabar_actors::LoadedAccountReport;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::AccountId;
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of a loaded account.
    ActorNoun = "actor";
}

/// An account in memory.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Actor", example)]
pub(crate) struct ActorBody {
    /// The account's id, `wba_…`.
    pub(crate) id: TextValue<AccountId>,
    /// Always `actor`.
    pub(crate) object: TextValue<ActorNoun>,
    /// WhatsApp's id of the number.
    pub(crate) phone_number_id: String,
    /// Commits so far.
    pub(crate) revision: i64,
    /// Number of the last event in the account's log.
    pub(crate) sequence: i64,
    /// Conversations held in memory.
    pub(crate) conversations: u64,
    /// Conversations last changed before this instant may be on disk only; null when all are in memory.
    pub(crate) horizon: Option<TextValue<Timestamp>>,
    /// Commands in the account's queue.
    pub(crate) mailbox_depth: u64,
    /// Commits a second since the account was loaded.
    pub(crate) cycles_per_second: f64,
    /// Share of pages served from cache since the account was loaded; 0 to 1.
    pub(crate) cache_hit_ratio: f64,
    /// Long polls in progress.
    pub(crate) waiting_polls: u64,
    /// Open event streams that wait for an event.
    pub(crate) event_streams: u64,
    /// Conversations with messages to send.
    pub(crate) sending: u64,
    /// Current send rate: lower than `messages_per_second_max` for a while after WhatsApp throttled the account.
    pub(crate) messages_per_second: u32,
    /// Configured send rate.
    pub(crate) messages_per_second_max: u32,
}

impl ActorBody {
    /// Builds the body of a loaded account.
    #[must_use]
    pub(crate) fn from_report(report: &LoadedAccountReport) -> Self {
        Self {
            id: TextValue(report.account_id),
            object: TextValue(ActorNoun),
            phone_number_id: report.phone_number_id.clone(),
            revision: report.revision,
            sequence: report.sequence,
            conversations: count(report.conversations),
            horizon: report.horizon.map(TextValue),
            mailbox_depth: count(report.mailbox_depth),
            cycles_per_second: thousandths(report.cycles_per_second),
            cache_hit_ratio: thousandths(report.cache_hit_ratio),
            waiting_polls: count(report.waiting_polls),
            event_streams: count(report.event_streams),
            sending: count(report.sending),
            messages_per_second: report.messages_per_second,
            messages_per_second_max: report.messages_per_second_max,
        }
    }
}

impl Example for ActorBody {
    fn example() -> Self {
        let account = crate::spec::example_rows::example_account();
        Self::from_report(&LoadedAccountReport {
            account_id: account.id,
            phone_number_id: account.phone_number_id.to_string(),
            revision: 1_204,
            sequence: 3_377,
            conversations: 512,
            horizon: None,
            mailbox_depth: 0,
            cycles_per_second: 0.8,
            cache_hit_ratio: 0.994,
            waiting_polls: 3,
            event_streams: 1,
            sending: 2,
            messages_per_second: 80,
            messages_per_second_max: 80,
        })
    }
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

/// Rounds to three decimals; more digits would be noise.
fn thousandths(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        for (figure, shown) in [(0.0, 0.0), (0.123_456, 0.123), (2.0 / 3.0, 0.667), (1.0, 1.0)] {
            assert!((thousandths(figure) - shown).abs() < f64::EPSILON, "{figure}");
        }
    }
}
