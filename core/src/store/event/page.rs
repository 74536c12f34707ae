//! Pages of an account's log, for readers that keep their own position.
//!
//! Invariants: a page scans a bounded number of events for any query. A gap between the position and the
//! oldest event that is kept is always reported.

use super::super::{Store, StoreError};
use super::TABLE;
use crate::domain::log::{EventPage, EventQuery, LogRead};

/// Events that one page scans, at most: 1 to 2 MB of rows.
const LOOK_MAX: i64 = 1000;

/// Returns the statement for the oldest event of an account.
pub(in super::super) const fn oldest_statement() -> &'static str {
    "SELECT sequence FROM events WHERE account = $1 ORDER BY sequence LIMIT 1"
}

impl Store {
    /// Returns a page of an account's log that ends with number `end`, as far as the reader knows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn event_page(
        &self,
        account_number: i64,
        query: &EventQuery,
        end: i64,
    ) -> Result<LogRead, StoreError> {
        let mut after = query.after;
        let mut page = self.page_events(account_number, query, after, end).await?;
        let begun = page.events.first().map(|event| event.sequence) == Some(after.saturating_add(1));
        if begun || after >= end {
            return Ok(LogRead::Page(page));
        }
        // The next event is of another type, or no longer kept. Looked up after the page, so that events
        // purged before the page was read are noticed.
        let oldest = self.oldest_event(account_number).await?.unwrap_or(end.saturating_add(1));
        if oldest > after.saturating_add(1) {
            if after > 0 {
                return Ok(LogRead::Expired { oldest });
            }
            after = oldest.saturating_sub(1);
            page = self.page_events(account_number, query, after, end).await?;
        }
        Ok(LogRead::Page(page))
    }

    async fn page_events(
        &self,
        account_number: i64,
        query: &EventQuery,
        after: i64,
        end: i64,
    ) -> Result<EventPage, StoreError> {
        if after >= end {
            return Ok(EventPage::empty_at(after));
        }
        let to = end.min(after.saturating_add(LOOK_MAX));
        let rows_max = query.limit.rows();
        let looked = self.events_of(account_number, (after, to), query.types, rows_max.saturating_add(1));
        let mut events = looked.await?;
        let cut = events.len() > rows_max;
        events.truncate(rows_max);
        let last = events.last().filter(|_| cut).map_or(to, |event| event.sequence);
        Ok(EventPage { events, last_sequence: last, has_more: last < end })
    }

    /// Returns the number of the oldest event of an account that is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn oldest_event(&self, account_number: i64) -> Result<Option<i64>, StoreError> {
        let rows =
            self.read_for(account_number).fetch_rows(oldest_statement(), vec![account_number.into()]).await?;
        rows.first().map(|row| row.read_fields(TABLE).take_int()).transpose()
    }
}
