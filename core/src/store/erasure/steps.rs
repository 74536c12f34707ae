//! The steps of an erasure: what shows a contact that was deleted is removed, some rows at a time.
//!
//! A new table with data of contacts gets its step here, and its line in
//! [`PERSONAL_TABLES`](super::PERSONAL_TABLES). A full-text index of SQLite (FTS5) overwrites what is deleted only with
//! its own option `secure-delete`.

use super::{MarkSearch, PendingErasure};
use crate::domain::time::Timestamp;
use crate::ids::ContactId;
use crate::store::dialect::Dialect;
use crate::store::engine::{Sql, SqlArg};
use crate::store::statement_owner::StatementOwner;
use crate::store::{Store, StoreError};

/// Rows of one step, at most.
const STEP_ROWS: i64 = 500;

/// The first events that show the contact $2 of the account $1, or its conversation, and no message. Those that tell of
/// the deletion have ids only, and stay.
pub(in crate::store) const CONTACT_EVENTS: &str = "SELECT sequence FROM events \
     WHERE account = $1 AND contact_id = $2 AND message_id IS NULL AND contact_id IS NOT NULL \
     AND kind NOT IN ('contact.deleted', 'conversation.deleted') LIMIT $3";

/// Returns the statement that takes the answers that show the contact $1 out of some records. The keys stay taken, so
/// that a call that is repeated is not carried out again.
pub(in crate::store) fn answers_statement(dialect: Dialect) -> String {
    let which = "SELECT organisation_id, key FROM idempotency_records WHERE contact_id = $1 LIMIT $2";
    let row = match dialect {
        Dialect::Sqlite => format!("(organisation_id, key) IN ({which})"),
        Dialect::Postgres => "ctid = ANY (ARRAY(SELECT ctid FROM idempotency_records \
                              WHERE contact_id = $1 LIMIT $2))"
            .to_owned(),
    };
    format!(
        "UPDATE idempotency_records SET status = 404, body = '', contact_id = NULL WHERE {row} RETURNING 1"
    )
}

impl Store {
    /// Makes one step of an erasure. Returns the number of rows that it looked at or removed; zero when nothing is
    /// left. `search` keeps the place in what is searched by text.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn erase_step(
        &self,
        account_number: i64,
        erasure: &PendingErasure,
        search: &mut MarkSearch,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        if let Some(conversation) = erasure.conversation {
            let removed = self.erase_conversation(account_number, conversation, now).await?;
            if removed > 0 {
                return Ok(removed);
            }
        }
        let removed = self.erase_contact_events(account_number, erasure.contact).await?;
        if removed > 0 {
            return Ok(removed);
        }
        let removed = self.erase_answers(erasure.contact).await?;
        if removed > 0 {
            return Ok(removed);
        }
        self.erase_marked(account_number, &erasure.marks, search, now).await
    }

    async fn erase_contact_events(&self, account_number: i64, id: ContactId) -> Result<u64, StoreError> {
        let args = vec![account_number.into(), id.to_string().into(), STEP_ROWS.into()];
        let rows = self.read_for(account_number).fetch_rows(CONTACT_EVENTS, args).await?;
        let sequences: Vec<i64> =
            rows.iter().map(|row| row.read_fields("events").take_int()).collect::<Result<_, _>>()?;
        if !sequences.is_empty() {
            self.write_erasure(account_number, self.event_script(account_number, &sequences)?).await?;
        }
        Ok(u64::try_from(sequences.len()).unwrap_or(u64::MAX))
    }

    async fn erase_answers(&self, id: ContactId) -> Result<u64, StoreError> {
        let args: Vec<SqlArg> = vec![id.to_string().into(), STEP_ROWS.into()];
        let rows =
            self.write_for_server().write_statement(answers_statement(self.engine.dialect()), args).await?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    /// Writes the statements of a step together, and notes that the file is to be scrubbed when it is closed.
    pub(super) async fn write_erasure(
        &self,
        owner: impl Into<StatementOwner>,
        mut script: Vec<(Sql, Vec<SqlArg>)>,
    ) -> Result<(), StoreError> {
        if self.engine.dialect() == Dialect::Sqlite {
            script.push((crate::store::engine::NOTE_REMNANTS.into(), Vec::new()));
        }
        if script.is_empty() {
            return Ok(());
        }
        self.write_for(owner).write_all(script).await.map(drop)
    }
}
