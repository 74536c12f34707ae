//! The operator's named tokens: their row, and every statement that reads or writes it.
//!
//! Invariant: of a token only its digest is stored. The rows are read whole at start; after that only changes by other
//! nodes are read.

use super::engine::RowFields;
use super::principal_row::{principal_text, read_principal};
use super::row::{RowPlace, instant_millis};
use super::{Store, StoreError};
use crate::domain::operator_token::OperatorToken;
use crate::domain::scopes::OperatorScopes;
use crate::domain::time::Timestamp;
use crate::ids::OperatorTokenId;

const TABLE: &str = "operator_tokens";

/// Columns that a token is read from and written to, in order.
const COLUMNS: &str = "id, name, last4, digest, scopes, expires_at, created_by, created_at";

/// Reads [`COLUMNS`].
fn read_token(fields: &mut RowFields<'_>) -> Result<OperatorToken, StoreError> {
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    Ok(OperatorToken {
        id: at.check_value("id", OperatorTokenId::parse(&id).ok())?,
        name: fields.take_text()?.into(),
        last4: fields.take_text()?.into(),
        digest: at.check_digest("digest", &fields.take_text()?)?,
        scopes: at.check_value("scopes", OperatorScopes::parse_words(&fields.take_text()?))?,
        expires_at: at.opt_time("expires_at", fields.opt_int()?)?,
        created_by: read_principal(at, "created_by", &fields.take_text()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
    })
}

impl Store {
    pub(super) async fn live_operator_tokens(&self) -> Result<Vec<OperatorToken>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLE} WHERE revoked_at IS NULL ORDER BY id");
        let rows = self.read_for_server().fetch_rows(sql, Vec::new()).await?;
        rows.iter().map(|row| read_token(&mut row.read_fields(TABLE))).collect()
    }

    /// Returns the tokens made, and those revoked, after this revision of the directory.
    pub(super) async fn operator_token_changes(
        &self,
        after: i64,
    ) -> Result<(Vec<OperatorToken>, Vec<OperatorTokenId>), StoreError> {
        let sql =
            format!("SELECT {COLUMNS}, revoked_at FROM {TABLE} WHERE directory_revision > $1 ORDER BY id");
        let (mut live, mut revoked) = (Vec::new(), Vec::new());
        for row in &self.read_for_server().fetch_rows(sql, vec![after.into()]).await? {
            let mut fields = row.read_fields(TABLE);
            let token = read_token(&mut fields)?;
            if fields.opt_int()?.is_some() { revoked.push(token.id) } else { live.push(token) }
        }
        Ok((live, revoked))
    }

    /// Inserts a token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_operator_token(&self, token: &OperatorToken) -> Result<(), StoreError> {
        let sql = format!("INSERT INTO {TABLE} ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
        let args = vec![
            token.id.to_string().into(),
            token.name.as_ref().into(),
            token.last4.as_ref().into(),
            hex::encode(token.digest).into(),
            token.scopes.words().into(),
            instant_millis(token.expires_at).into(),
            principal_text(&token.created_by)?.into(),
            token.created_at.millis().into(),
        ];
        self.write_for_server().write_statement(sql, args).await.map(drop)
    }

    /// Revokes a token; `false` when it is unknown, or was revoked before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_operator_token(
        &self,
        id: OperatorTokenId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql =
            "UPDATE operator_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id";
        let rows = self
            .write_for_server()
            .write_statement(sql, vec![id.to_string().into(), at.millis().into()])
            .await?;
        Ok(!rows.is_empty())
    }
}
