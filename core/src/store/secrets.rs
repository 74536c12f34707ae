//! Secrets of this server, made on its first start and kept in the database.
//!
//! Invariant: once made they never change, so what was sealed with them survives restarts, and
//! every node that shares the database shares them.

use rand::TryRng as _;
use rand::rngs::SysRng;

use super::StoreError;
use super::engine::{Engine, WriteConnection};
use super::row::RowPlace;

/// Keys that never leave the server.
#[derive(Clone)]
pub struct ServerSecrets {
    /// Authenticates cursors.
    pub cursor_key: [u8; 32],
    /// Names this installation in memory that others may use too, and authenticates what it keeps there.
    pub redis_cache_key: [u8; 32],
    /// Seals what plugins were compiled to.
    pub artefact_key: [u8; 32],
}

impl std::fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerSecrets")
    }
}

impl ServerSecrets {
    /// Reads the secrets, after making those that are missing.
    pub(super) async fn load_secrets(
        engine: &Engine,
        writer: &mut WriteConnection,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            cursor_key: secret(engine, writer, "cursor_key").await?,
            redis_cache_key: secret(engine, writer, "shared_memory_key").await?,
            artefact_key: secret(engine, writer, "artefact_key").await?,
        })
    }
}

async fn secret(
    engine: &Engine,
    writer: &mut WriteConnection,
    name: &'static str,
) -> Result<[u8; 32], StoreError> {
    let mut fresh = [0; 32];
    SysRng.try_fill_bytes(&mut fresh).map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?;
    let sql = "INSERT INTO server_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    writer.run_statement(sql, vec![name.into(), hex::encode(fresh).into()]).await?;
    // Another node may have been first: what the table holds is what counts.
    let rows =
        engine.fetch_rows("SELECT value FROM server_secrets WHERE name = $1", vec![name.into()]).await?;
    let at = RowPlace { table: "server_secrets", id: name };
    let row = at.check_value("value", rows.first())?;
    at.check_digest("value", &row.read_fields("server_secrets").take_text()?)
}
