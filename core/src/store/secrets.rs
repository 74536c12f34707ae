//! Secrets of this server, created on its first start and stored in the database.
//!
//! Invariant: they never change, so texts and pages signed with them stay valid after restarts, and all nodes
//! that share the database share them. Every start decrypts them, so none begins without the key of the database.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::Sha256;

use super::StoreError;
use super::encrypted_column::EncryptedColumn;
use super::engine::{Engine, WriteConnection};
use super::row::RowPlace;
use crate::domain::account::Secret;
use crate::encryption::KeyRing;
use crate::fair_bound::PermitHolder;

const TABLE: &str = "server_secrets";
/// Column of a secret, in hexadecimal digits.
pub(super) const VALUE: EncryptedColumn = EncryptedColumn { table: TABLE, column: "value" };

/// Keys that never leave the server.
#[derive(Clone)]
pub struct ServerSecrets {
    /// Authenticates cursors.
    pub cursor_key: [u8; 32],
    /// Identifies this installation in a Redis that other programs may share, and authenticates its pages
    /// there.
    pub redis_cache_key: [u8; 32],
    /// Authenticates requests between nodes.
    pub forward_key: [u8; 32],
    /// Hides the digests of requests with an idempotency key: a request may hold a secret that is easy to guess.
    fingerprint_key: [u8; 32],
}

impl std::fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerSecrets")
    }
}

impl ServerSecrets {
    /// Returns `true` when there is none yet: nothing in the database is encrypted.
    pub(super) async fn are_missing(engine: &Engine) -> Result<bool, StoreError> {
        Ok(engine
            .fetch_rows(PermitHolder::Server, "SELECT name FROM server_secrets LIMIT 1", Vec::new())
            .await?
            .is_empty())
    }

    /// Reads the secrets, and creates missing ones first.
    pub(super) async fn load_secrets(
        engine: &Engine,
        writer: &mut WriteConnection,
        keys: &KeyRing,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            cursor_key: secret(engine, writer, keys, "cursor_key").await?,
            redis_cache_key: secret(engine, writer, keys, "redis_cache_key").await?,
            forward_key: secret(engine, writer, keys, "forward_key").await?,
            fingerprint_key: secret(engine, writer, keys, "fingerprint_key").await?,
        })
    }

    /// Returns the digest of a request as it is stored.
    #[must_use]
    pub fn hide_fingerprint(&self, fingerprint: [u8; 32]) -> [u8; 32] {
        // A key of any length makes an HMAC.
        Hmac::<Sha256>::new_from_slice(&self.fingerprint_key).map_or(fingerprint, |mut mac| {
            mac.update(&fingerprint);
            mac.finalize().into_bytes().into()
        })
    }
}

async fn secret(
    engine: &Engine,
    writer: &mut WriteConnection,
    keys: &KeyRing,
    name: &'static str,
) -> Result<[u8; 32], StoreError> {
    let mut fresh = [0; 32];
    SysRng.try_fill_bytes(&mut fresh).map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?;
    let sql = "INSERT INTO server_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    let value = VALUE.bind_secret(keys, name.to_owned(), &Secret::new(&hex::encode(fresh)));
    writer.run_statement(sql, vec![name.into(), value]).await?;
    // Another node may have been first: the row in the table is the one in force.
    let rows = engine
        .fetch_rows(
            PermitHolder::Server,
            "SELECT value FROM server_secrets WHERE name = $1",
            vec![name.into()],
        )
        .await?;
    let at = RowPlace { table: TABLE, id: name };
    let row = at.check_value(VALUE.column, rows.first())?;
    let value = VALUE.decrypt(keys, name, &row.read_fields(TABLE).take_text()?)?;
    // This server works with it.
    at.check_digest(VALUE.column, value.reveal())
}
