//! Rows of a result, and their columns, read in order.
//!
//! Invariant: every value is checked as it is read, so that a bad row is an error and never a panic.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;

/// One row of a result.
pub(in crate::store) enum EngineRow {
    /// Row of SQLite.
    Sqlite(SqliteRow),
    /// Row of PostgreSQL.
    Postgres(PgRow),
}

impl EngineRow {
    /// Reads the columns of this row of `table` from the first to the last.
    pub(in crate::store) const fn read_fields(&self, table: &'static str) -> RowFields<'_> {
        RowFields { row: self, table, next: 0 }
    }

    fn get<T>(&self, index: usize) -> Result<T, sqlx::Error>
    where
        T: for<'a> sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
        T: for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(index),
            Self::Postgres(row) => row.try_get(index),
        }
    }

    fn read_column(&self, index: usize) -> Option<&str> {
        match self {
            Self::Sqlite(row) => row.columns().get(index).map(sqlx::Column::name),
            Self::Postgres(row) => row.columns().get(index).map(sqlx::Column::name),
        }
    }
}

/// The columns of one row, read in order.
pub(in crate::store) struct RowFields<'r> {
    row: &'r EngineRow,
    table: &'static str,
    next: usize,
}

impl RowFields<'_> {
    fn take_column<T>(&mut self) -> Result<T, StoreError>
    where
        T: for<'a> sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
        T: for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let index = self.next;
        self.next += 1;
        self.row.get(index).map_err(|error| {
            let column = self.row.read_column(index).unwrap_or("?");
            let id: String = self.row.get(0).unwrap_or_default();
            StoreError::Corrupt(format!("{}.{column} of {id:?}: {error}", self.table))
        })
    }

    /// Reads the next column: a text.
    pub(in crate::store) fn take_text(&mut self) -> Result<String, StoreError> {
        self.take_column()
    }

    /// Reads the next column: a text or null.
    pub(in crate::store) fn opt_text(&mut self) -> Result<Option<String>, StoreError> {
        self.take_column()
    }

    /// Reads the next column: bytes.
    pub(in crate::store) fn take_bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        self.take_column()
    }

    /// Reads the next column: an integer.
    pub(in crate::store) fn take_int(&mut self) -> Result<i64, StoreError> {
        self.take_column()
    }

    /// Reads the next column: an integer or null.
    pub(in crate::store) fn opt_int(&mut self) -> Result<Option<i64>, StoreError> {
        self.take_column()
    }
}
