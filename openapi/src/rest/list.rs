//! Lists that lie wholly in memory: users, accounts, organisations, keys, loaded accounts.
//!
//! Invariant: newest first, which is id descending, and a page continues strictly below the last row of the
//! previous page, whatever was added or removed since. The caller applies the filters.

use kabar_core::cursor::CursorKey;
use kabar_core::domain::page::{PageLimit, PagePosition, RowPage};

use crate::rest::envelope::PageResponse;
use crate::rest::error::ApiError;
use crate::rest::params::CursorText;

/// A request for a page of a list.
#[derive(Debug)]
pub(crate) struct PageRequest<'a> {
    key: &'a CursorKey,
    scope: &'a str,
    limit: PageLimit,
    after: Option<PagePosition>,
}

impl<'a> PageRequest<'a> {
    /// Reads the page request for the list `scope`.
    ///
    /// # Errors
    /// `invalid_cursor` for a cursor of another list, or one without a valid signature.
    pub(crate) fn parse_request(
        key: &'a CursorKey,
        scope: &'a str,
        limit: Option<PageLimit>,
        cursor: Option<&CursorText>,
    ) -> Result<Self, ApiError> {
        let after = match cursor {
            Some(text) => Some(key.verify_cursor(scope, &text.0).ok_or_else(ApiError::invalid_cursor)?),
            None => None,
        };
        Ok(Self { key, scope, limit: limit.unwrap_or_default(), after })
    }

    /// Builds the response from rows that come newest first.
    pub(crate) fn page_response<T, B>(
        &self,
        rows: impl IntoIterator<Item = T>,
        id_of: impl Fn(&T) -> u128,
        show: impl Fn(&T) -> B,
    ) -> PageResponse<B> {
        let page = take_page(rows, &id_of, self.limit, self.after);
        let next_cursor = next_cursor(&page, id_of, self.key, self.scope);
        PageResponse { rows: page.rows.iter().map(show).collect(), next_cursor }
    }
}

/// Cuts one page from rows that come newest first.
fn take_page<T>(
    rows: impl IntoIterator<Item = T>,
    id_of: impl Fn(&T) -> u128,
    limit: PageLimit,
    after: Option<PagePosition>,
) -> RowPage<T> {
    let below = rows.into_iter().filter(|row| after.is_none_or(|last| id_of(row) < last.id));
    RowPage::cut_to(below.take(limit.rows().saturating_add(1)).collect(), limit)
}

/// Returns the cursor of the next page, signed for the list `scope`; `None` on the last page.
fn next_cursor<T>(
    page: &RowPage<T>,
    id_of: impl Fn(&T) -> u128,
    key: &CursorKey,
    scope: &str,
) -> Option<String> {
    let last = page.rows.last().filter(|_| page.has_more)?;
    // These lists are ordered by id alone, so the sort key is 0.
    Some(key.sign_cursor(scope, PagePosition { key: 0, id: id_of(last) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_walk_every_row_once() {
        let rows: Vec<u128> = (1..=10).rev().collect();
        let key = CursorKey::new([3; 32]);
        let (mut seen, mut after) = (Vec::<u128>::new(), None);
        loop {
            let page = take_page(rows.iter().copied(), |row| *row, PageLimit::new(4).unwrap(), after);
            seen.extend(&page.rows);
            let cursor = next_cursor(&page, |row| *row, &key, "users/a");
            assert_eq!(cursor.is_some(), page.has_more);
            let Some(cursor) = cursor else { break };
            assert_eq!(key.verify_cursor("users/b", &cursor), None);
            after = key.verify_cursor("users/a", &cursor);
            assert!(after.is_some());
        }
        assert_eq!(seen, rows);
    }

    #[test]
    fn an_exact_page_has_no_follower() {
        let page = take_page([3_u128, 2, 1], |row| *row, PageLimit::new(3).unwrap(), None);
        assert!(!page.has_more && page.rows == [3, 2, 1]);
    }
}
