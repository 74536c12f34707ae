//! Secrets of this server, created on its first start and stored in the database.
//!
//! Invariant: they never change, so texts and pages signed with them stay valid after restarts, and all nodes
//! that share the database share them.

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
    /// Identifies this installation in a Redis that other programs may share, and authenticates its pages
    /// there.
    pub redis_cache_key: [u8; 32],
    /// Authenticates compiled plugins.
    pub artefact_key: [u8; 32],
    /// Authenticates requests between nodes.
    pub forward_key: [u8; 32],
}

impl std::fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerSecrets")
    }
}

impl ServerSecrets {
    /// Reads the secrets, and creates missing ones first.
    pub(super) async fn load_secrets(
        engine: &Engine,
        writer: &mut WriteConnection,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            cursor_key: secret(engine, writer, "cursor_key").await?,
            redis_cache_key: secret(engine, writer, "redis_cache_key").await?,
            artefact_key: secret(engine, writer, "artefact_key").await?,
            forward_key: secret(engine, writer, "forward_key").await?,
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
    // Another node may have been first: the row in the table is the one in force.
    let rows =
        engine.fetch_rows("SELECT value FROM server_secrets WHERE name = $1", vec![name.into()]).await?;
    let at = RowPlace { table: "server_secrets", id: name };
    let row = at.check_value("value", rows.first())?;
    at.check_digest("value", &row.read_fields("server_secrets").take_text()?)
}
