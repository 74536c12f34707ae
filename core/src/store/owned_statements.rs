//! Reads and writes in the share of one organisation: the only way to the engine and to the writer.

use super::engine::{Engine, EngineRow, ReadSnapshot, Sql, SqlArg};
use super::statement_owner::StatementOwner;
use super::writer::StoreWriter;
use super::{AccountCommit, Store, StoreError};
use crate::fair_bound::PermitHolder;

/// Reads in the share of one organisation.
pub(super) struct OwnedReads<'a> {
    engine: &'a Engine,
    holder: PermitHolder,
}

impl OwnedReads<'_> {
    /// Reads with one statement.
    pub(super) async fn fetch_rows(
        &self,
        sql: impl Into<Sql>,
        args: Vec<SqlArg>,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.engine.fetch_rows(self.holder, sql, args).await
    }

    /// Begins several reads that must see the same commits.
    pub(super) async fn begin_snapshot(&self) -> Result<ReadSnapshot, StoreError> {
        self.engine.begin_snapshot(self.holder).await
    }
}

/// Writes in the share of one organisation.
pub(super) struct OwnedWrites<'a> {
    writer: &'a StoreWriter,
    holder: PermitHolder,
}

impl OwnedWrites<'_> {
    /// Writes one statement durably and returns its rows.
    pub(super) async fn write_statement(
        &self,
        sql: impl Into<Sql>,
        args: Vec<SqlArg>,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.writer.write_statement(self.holder, sql, args).await
    }

    /// Writes several statements durably, together or not at all, and returns the rows of the first.
    pub(super) async fn write_all(
        &self,
        statements: Vec<(Sql, Vec<SqlArg>)>,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.writer.write_script(self.holder, statements, 0).await
    }

    /// Writes several statements durably, and returns the rows of the statement at this index.
    pub(super) async fn write_script(
        &self,
        statements: Vec<(Sql, Vec<SqlArg>)>,
        answer: usize,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.writer.write_script(self.holder, statements, answer).await
    }

    /// Writes one account's commit durably.
    pub(super) async fn write_commit(&self, commit: AccountCommit) -> Result<(), StoreError> {
        self.writer.write_commit(self.holder, commit).await
    }
}

impl Store {
    /// Returns the reads in the share of this owner.
    pub(super) fn read_for(&self, owner: impl Into<StatementOwner>) -> OwnedReads<'_> {
        OwnedReads { engine: &self.engine, holder: self.owners.holder(owner.into()) }
    }

    /// Returns the reads in the server's own share: of rows that belong to no organisation, or to all.
    pub(super) fn read_for_server(&self) -> OwnedReads<'_> {
        self.read_for(StatementOwner::Server)
    }

    /// Returns the writes in the share of this owner.
    pub(super) fn write_for(&self, owner: impl Into<StatementOwner>) -> OwnedWrites<'_> {
        OwnedWrites { writer: &self.writer, holder: self.owners.holder(owner.into()) }
    }

    /// Returns the writes in the server's own share.
    pub(super) fn write_for_server(&self) -> OwnedWrites<'_> {
        self.write_for(StatementOwner::Server)
    }
}
