//! Search of contacts: those that contain a text, through an index of trigrams.
//!
//! A page is looked for among the newest contacts first, which finds what many contacts contain. Only what is not
//! found there is looked for in the index, in which lists of what few contacts contain are short. A text of one or two
//! characters has no trigram, and is looked for in the order of the list.
//!
//! Invariants: a search reads rows of its own account only. Whatever the index gives is compared with the text, so
//! that the index decides about the cost and never about the answer. On SQLite, `search_row` ascends with the ids of an
//! account: ids of an account are given in the order of its commits, and a commit inserts in the order of ids.

use std::sync::Arc;

use super::{COLUMNS, IdRange, TABLE, read_all};
use crate::domain::contact::Contact;
use crate::domain::page::{ContactQuery, fold_text};
use crate::ids::ContactId;
use crate::store::dialect::Dialect;
use crate::store::engine::SqlArg;
use crate::store::row::{RowPlace, json_array};
use crate::store::{Store, StoreError};

/// Contacts that are looked at before the index is. Few in tests, so that these use the index.
const NEWEST_ROWS: i64 = if cfg!(test) { 5 } else { 1000 };
/// Most trigrams of a text that are looked up; more of them find hardly less.
const TRIGRAMS_MAX: usize = 24;

/// The newest contact of those that are left to the index.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct SearchBoundary {
    /// Its id.
    pub(in crate::store) id: ContactId,
    /// Its row in SQLite's index.
    pub(in crate::store) row: i64,
}

/// Returns the statement for the boundary below `after`.
pub(in crate::store) fn boundary_statement(
    dialect: Dialect,
    account: i64,
    after: Option<ContactId>,
) -> (String, Vec<SqlArg>) {
    let row = match dialect {
        Dialect::Sqlite => "search_row",
        Dialect::Postgres => "account",
    };
    let mut args = vec![account.into(), NEWEST_ROWS.into()];
    let mut sql = format!("SELECT id, {row} FROM contacts WHERE account = $1");
    if let Some(after) = after {
        args.push(after.to_string().into());
        sql.push_str(" AND id < $3");
    }
    sql.push_str(" ORDER BY id DESC LIMIT 1 OFFSET $2");
    (sql, args)
}

/// Returns distinct trigrams of a text, spread over it.
fn trigrams_of(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let all: Vec<&[char]> = chars.windows(3).collect();
    let step = all.len().div_ceil(TRIGRAMS_MAX).max(1);
    let mut trigrams: Vec<String> =
        all.into_iter().step_by(step).map(|three| three.iter().collect()).collect();
    trigrams.sort_unstable();
    trigrams.dedup();
    trigrams
}

/// Returns the account as the trigram that `account_text` of SQLite's schema is.
fn account_trigram(account: i64) -> String {
    const PRIVATE_USE: u32 = 0xE000;
    let part = |divisor: i64| u32::try_from(account / divisor % 6400).ok();
    let char_of = |divisor| char::from_u32(PRIVATE_USE + part(divisor)?);
    [1, 6400, 40_960_000].into_iter().filter_map(char_of).collect()
}

/// Returns the statement for contacts with this folded text, from the boundary on; `None` for a text without a
/// trigram.
pub(in crate::store) fn index_statement(
    dialect: Dialect,
    account: i64,
    text: &str,
    boundary: SearchBoundary,
    rows_max: usize,
) -> Result<Option<(String, Vec<SqlArg>)>, StoreError> {
    let trigrams = trigrams_of(text);
    if trigrams.is_empty() {
        return Ok(None);
    }
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let contains = dialect.text_contains("k.search_text", 3);
    Ok(Some(match dialect {
        Dialect::Sqlite => {
            let quoted =
                |column: &str, trigram: &str| format!("{column} : \"{}\"", trigram.replace('"', "\"\""));
            let of_text = trigrams.iter().map(|trigram| quoted("search_text", trigram));
            let all: Vec<String> =
                std::iter::once(quoted("account_text", &account_trigram(account))).chain(of_text).collect();
            let sql = format!(
                "SELECT {COLUMNS} FROM contact_search s CROSS JOIN contacts k ON k.search_row = s.rowid \
                 WHERE s.contact_search MATCH $2 AND s.rowid <= $4 AND k.account = $1 AND k.merged_into IS NULL \
                 AND {contains} ORDER BY s.rowid DESC LIMIT $5"
            );
            let args = vec![
                account.into(),
                all.join(" AND ").into(),
                text.into(),
                boundary.row.into(),
                rows_max.into(),
            ];
            (sql, args)
        }
        Dialect::Postgres => {
            let named: Vec<String> = trigrams.iter().map(|trigram| format!("{account}:{trigram}")).collect();
            // The sum keeps the planner from reading all contacts of the account by their key.
            let sql = format!(
                "SELECT {COLUMNS} FROM contacts k WHERE contact_trigrams(k.account, k.search_text) @> \
                 ARRAY(SELECT json_array_elements_text($2::json)) AND k.account + 0 = $1 AND k.merged_into IS NULL \
                 AND {contains} AND k.id <= $4 ORDER BY k.id DESC LIMIT $5"
            );
            let bound = boundary.id.to_string();
            (
                sql,
                vec![account.into(), json_array(&named)?.into(), text.into(), bound.into(), rows_max.into()],
            )
        }
    }))
}

impl Store {
    /// Reads the contacts with a text, one more than the page has.
    pub(super) async fn search_contacts(
        &self,
        account: i64,
        query: &ContactQuery,
        text: &str,
    ) -> Result<Vec<Arc<Contact>>, StoreError> {
        let Some(boundary) = self.find_boundary(account, query.after).await? else {
            return self.scan_contacts(account, query, IdRange::default()).await;
        };
        let newest = IdRange { above: Some(boundary.id), up_to: None };
        let mut found = self.scan_contacts(account, query, newest).await?;
        let missing = (query.limit.rows() + 1).saturating_sub(found.len());
        if missing > 0 {
            let dialect = self.engine.dialect();
            let indexed = index_statement(dialect, account, &fold_text(text), boundary, missing)?;
            let older = if let Some((sql, args)) = indexed {
                read_all(&self.read_for(account).fetch_rows(sql, args).await?)?
            } else {
                let older = IdRange { above: None, up_to: Some(boundary.id) };
                self.scan_contacts(account, query, older).await?
            };
            found.extend(older.into_iter().take(missing));
        }
        Ok(found)
    }

    /// Finds the newest contact beyond those that are looked at first; `None` when there are not so many.
    async fn find_boundary(
        &self,
        account: i64,
        after: Option<ContactId>,
    ) -> Result<Option<SearchBoundary>, StoreError> {
        let (sql, args) = boundary_statement(self.engine.dialect(), account, after);
        let rows = self.read_for(account).fetch_rows(sql, args).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        let id = fields.take_text()?;
        let place = RowPlace { table: TABLE, id: &id };
        Ok(Some(SearchBoundary {
            id: place.check_value("id", ContactId::parse(&id).ok())?,
            row: fields.take_int()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigrams_are_of_characters_and_bounded() {
        assert_eq!(trigrams_of("añb王"), ["añb", "ñb王"]);
        assert_eq!(trigrams_of("aaaa"), ["aaa"]);
        assert!(trigrams_of("王伟").is_empty());
        let long: String = (0..200_u32).filter_map(|n| char::from_u32(0x4e00 + n)).collect();
        let some = trigrams_of(&long);
        assert!(some.len() <= TRIGRAMS_MAX && some.len() > TRIGRAMS_MAX / 2, "{}", some.len());
    }

    #[test]
    fn accounts_have_trigrams_of_their_own() {
        let all: std::collections::BTreeSet<String> =
            [0, 1, 6399, 6400, 40_959_999, 40_960_000].map(account_trigram).into();
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|trigram| trigram.chars().count() == 3));
    }
}
