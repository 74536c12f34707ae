//! Resident accounts as the operator sees them: how far each is, and how busy.
//!
//! A picture of this moment in this process; accounts that nobody asks for are not in memory, and
//! not in the list.

use kabar_actors::ResidentReport;
use poem_openapi::Object;

/// An account in memory.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Actor")]
pub struct ActorBody {
    /// The account's id, `wba_…`.
    pub id: String,
    /// Always `actor`.
    pub object: String,
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// Commits so far.
    pub revision: i64,
    /// Number of the last event in the account's log.
    pub sequence: i64,
    /// Conversations held in memory.
    pub conversations: u64,
    /// Conversations that did not change after this instant may be on disk only; null when all are
    /// in memory.
    pub horizon: Option<String>,
    /// Commands that wait.
    pub mailbox_depth: u64,
    /// Commits a second since the account was loaded.
    pub cycles_per_second: f64,
    /// Pages served from cache, of all served since the account was loaded; 0 to 1.
    pub cache_hit_ratio: f64,
    /// Long polls that wait.
    pub waiting_polls: u64,
}

impl From<ResidentReport> for ActorBody {
    fn from(report: ResidentReport) -> Self {
        Self {
            id: report.account_id.to_string(),
            object: "actor".to_owned(),
            phone_number_id: report.phone_number_id,
            revision: report.revision,
            sequence: report.sequence,
            conversations: count(report.conversations),
            horizon: report.horizon.map(|at| at.to_string()),
            mailbox_depth: count(report.mailbox_depth),
            cycles_per_second: thousandths(report.cycles_per_second),
            cache_hit_ratio: thousandths(report.cache_hit_ratio),
            waiting_polls: count(report.waiting_polls),
        }
    }
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

/// More digits would be noise.
fn thousandths(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use kabar_core::ids::AccountId;

    use super::*;

    #[test]
    fn figures_are_readable() {
        let body = ActorBody::from(ResidentReport {
            account_id: AccountId::from_bits(1),
            phone_number_id: "123456".to_owned(),
            revision: 7,
            sequence: 9,
            conversations: 3,
            horizon: None,
            mailbox_depth: 0,
            cycles_per_second: 0.123_456,
            cache_hit_ratio: 2.0 / 3.0,
            waiting_polls: 1,
        });
        assert!((body.cycles_per_second - 0.123).abs() < f64::EPSILON);
        assert!((body.cache_hit_ratio - 0.667).abs() < f64::EPSILON);
        assert_eq!((body.conversations, body.horizon), (3, None));
    }
}
