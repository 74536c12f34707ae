//! A stage for one scene: a fresh database in a folder of its own, a tenant, its key, its server.
//!
//! Invariant: the server is the one that ships, configured by its environment; the folder goes
//! with the stage.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use kabar_core::domain::account::Secret;
use kabar_core::ids::OrganisationId;
use kabar_core::meta::signature;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::child::Child;
use super::seed::{Seeder, TEST_KEY};
use super::wire;

const OPERATOR_TOKEN: &str = "operator-token-of-the-bench";
const APP_SECRET: &str = "app-secret-of-the-bench";
/// The highest budget there is; no load empties it.
const PER_MINUTE: u32 = 10_000_000;

/// The server under load, and what it stands on.
#[derive(Debug, Clone)]
pub(super) struct Services {
    /// The server's binary.
    pub(super) kabar: PathBuf,
    /// Address of a PostgreSQL database, in which each stage gets a schema; else SQLite.
    pub(super) postgres: Option<String>,
    /// Address of a Redis.
    pub(super) redis: Option<String>,
}

impl Services {
    /// What the tables call it.
    pub(super) fn name(&self) -> &'static str {
        match (&self.postgres, &self.redis) {
            (None, None) => "SQLite",
            (None, Some(_)) => "SQLite and Redis",
            (Some(_), None) => "PostgreSQL",
            (Some(_), Some(_)) => "PostgreSQL and Redis",
        }
    }

    /// The address of a fresh database.
    async fn database(&self, folder: &Path) -> anyhow::Result<String> {
        let Some(server) = &self.postgres else {
            return Ok(format!("sqlite://{}/kabar.db", folder.display()));
        };
        let schema = format!("bench_{:016x}", rand::random::<u64>());
        let sql = format!("CREATE SCHEMA {schema}");
        let made = Command::new("psql").args(["--quiet", "--command", &sql, server]).status().await;
        if !made.context("psql, which makes the schema, was not started")?.success() {
            bail!("psql could not make a schema");
        }
        let joint = if server.contains('?') { '&' } else { '?' };
        Ok(format!("{server}{joint}options[search_path]={schema}"))
    }
}

/// A fresh database with one tenant.
pub(super) struct Stage {
    kabar: PathBuf,
    folder: TempDir,
    url: String,
    redis: Option<String>,
    /// Where WhatsApp is; at first nowhere, so that nothing leaves the machine.
    pub(super) graph: String,
    /// Further settings of its servers.
    pub(super) settings: Vec<(&'static str, &'static str)>,
    pub(super) tenant: Tenant,
}

/// An organisation and its key.
pub(super) struct Tenant {
    organisation: OrganisationId,
    authorization: String,
}

impl Stage {
    /// Makes the database by starting a server on it once.
    pub(super) async fn set(folder: &Path, services: &Services) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("kabar-bench-").tempdir_in(folder)?;
        let url = services.database(folder.path()).await?;
        let tenant = Tenant { organisation: OrganisationId::from_bits(0), authorization: String::new() };
        let (kabar, redis) = (services.kabar.clone(), services.redis.clone());
        let graph = "http://127.0.0.1:9".to_owned();
        let mut stage = Self { kabar, folder, url, redis, graph, settings: Vec::new(), tenant };
        let server = stage.server().await?;
        stage.tenant = stage.another(&server).await?;
        server.end().await?;
        Ok(stage)
    }

    /// Makes one more tenant.
    pub(super) async fn another(&self, server: &Child) -> anyhow::Result<Tenant> {
        let tenant = format!(
            r#"{{"name":"Bench","tier":"enterprise","write_per_minute":{PER_MINUTE},"read_per_minute":{PER_MINUTE}}}"#
        );
        let organisation = operate(server, "/admin/v1/organizations", &tenant).await?;
        let id = text(&organisation, "id")?;
        let key = operate(server, &format!("/admin/v1/organizations/{id}/api_keys"), r#"{"label":"bench"}"#)
            .await?;
        let authorization = format!("Authorization: Bearer {}", text(&key, "key")?);
        Ok(Tenant { organisation: OrganisationId::parse(&id)?, authorization })
    }

    /// The store under the stage; no server may run meanwhile.
    pub(super) async fn seeder(&self) -> anyhow::Result<Seeder> {
        self.seeder_of(&self.tenant).await
    }

    /// The same for another tenant.
    pub(super) async fn seeder_of(&self, tenant: &Tenant) -> anyhow::Result<Seeder> {
        Seeder::open(&self.url, tenant.organisation).await
    }

    /// Starts the server.
    pub(super) async fn server(&self) -> anyhow::Result<Child> {
        let mut settings = vec![
            ("KABAR_DATABASE_URL", self.url.as_str()),
            ("KABAR_OPERATOR_TOKEN", OPERATOR_TOKEN),
            ("KABAR_WHATSAPP__APP_SECRET", APP_SECRET),
            ("KABAR_WHATSAPP__VERIFY_TOKEN", "verify-token-of-the-bench"),
            ("KABAR_WHATSAPP__BASE_URL", self.graph.as_str()),
        ];
        settings.extend(self.url.starts_with("postgres").then_some(("KABAR_SECRETS__KEY_FILE", TEST_KEY)));
        settings.extend(&self.settings);
        settings.extend(self.redis.as_deref().map(|url| ("KABAR_REDIS_URL", url)));
        Child::server(&self.kabar, self.folder.path(), &settings).await
    }

    /// The number of the last event of the account that is in memory.
    pub(super) async fn last_sequence(&self, server: &Child) -> anyhow::Result<i64> {
        let authorization = format!("Authorization: Bearer {OPERATOR_TOKEN}");
        let request = wire::request("GET", "/admin/v1/actors", &[&authorization], b"");
        let (_, _, body) = wire::once(server.address, &request).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        answer.pointer("/data/0/sequence").and_then(Value::as_i64).context("no account is in memory")
    }

    /// A request with the tenant's key.
    pub(super) fn get(&self, path: &str, headers: &[&str]) -> Bytes {
        self.tenant.get(path, headers)
    }

    /// A change with the tenant's key.
    pub(super) fn patch(&self, path: &str, body: &str) -> Bytes {
        self.tenant.patch(path, body)
    }

    /// A POST with the tenant's key.
    pub(super) fn post(&self, path: &str, body: &str) -> Bytes {
        self.tenant.post(path, body)
    }

    /// A webhook as WhatsApp would sign it.
    pub(super) fn webhook(body: &str) -> Bytes {
        let signature = signature::sign_body(&Secret::new(APP_SECRET), body.as_bytes());
        let header = format!("{}: {signature}", signature::HEADER);
        wire::request("POST", "/webhooks/whatsapp", &[&header], body.as_bytes())
    }
}

impl Tenant {
    /// A request with its key.
    pub(super) fn get(&self, path: &str, headers: &[&str]) -> Bytes {
        wire::request("GET", path, &[&[self.authorization.as_str()], headers].concat(), b"")
    }

    /// A change with its key.
    pub(super) fn patch(&self, path: &str, body: &str) -> Bytes {
        wire::request("PATCH", path, &[&self.authorization], body.as_bytes())
    }

    /// A POST with its key.
    pub(super) fn post(&self, path: &str, body: &str) -> Bytes {
        wire::request("POST", path, &[&self.authorization], body.as_bytes())
    }

    /// A POST of a component with its key.
    pub(super) fn upload(&self, path: &str, component: &[u8]) -> Bytes {
        wire::request_of("application/wasm", "POST", path, &[&self.authorization], component)
    }

    /// Asks, and answers what a success says.
    pub(super) async fn ask(&self, server: &Child, request: &[u8]) -> anyhow::Result<Value> {
        let (status, _, body) = wire::once(server.address, request).await?;
        if !matches!(status, 200..=299) {
            bail!("a call was answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// What a GET answers.
    pub(super) async fn read(&self, server: &Child, path: &str) -> anyhow::Result<Value> {
        self.ask(server, &self.get(path, &[])).await
    }
}

/// One call of the operator API; answers `data`.
async fn operate(server: &Child, path: &str, body: &str) -> anyhow::Result<Value> {
    let authorization = format!("Authorization: Bearer {OPERATOR_TOKEN}");
    let request = wire::request("POST", path, &[&authorization], body.as_bytes());
    let (status, _, answer) = wire::once(server.address, &request).await?;
    if status != 201 {
        bail!("{path} answered {status}: {}", String::from_utf8_lossy(&answer));
    }
    let mut answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
}

fn text(object: &Value, key: &str) -> anyhow::Result<String> {
    Ok(object.get(key).and_then(Value::as_str).with_context(|| format!("no {key} in {object}"))?.to_owned())
}
