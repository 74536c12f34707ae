//! Contract, section 26: secrets are encrypted in the database, under keys outside it, and can be encrypted anew.

mod command_line;
mod dumps;
mod nodes;
mod rotation;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Child, Tenant, TestServer, database, from, text};

/// Signs nothing at the simulator; the account has it beside the server's secret.
const ACCOUNT_SECRET: &str = "app-secret-of-the-account-8c1f";
const ACCESS_TOKEN: &str = "EAAGtoken-of-the-account-77ab";
const PLUGIN_SECRET: &str = "hunter2-of-the-plugin-51d0";

/// A database of the engine that this run is about, and its key file.
struct Room {
    folder: TempDir,
    url: String,
    key_file: PathBuf,
}

impl Room {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = database::chosen(folder.path()).await;
        let room = Self { key_file: folder.path().join("kabar.db.key"), folder, url };
        if !room.owns_keys() {
            room.add_key();
        }
        room
    }

    /// Whether the server makes the key file itself.
    fn owns_keys(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// Puts a new key before the others, as an operator does.
    fn add_key(&self) -> String {
        let older = std::fs::read_to_string(&self.key_file).unwrap_or_default();
        let line = new_key();
        std::fs::write(&self.key_file, format!("{line}\n{older}")).unwrap();
        line
    }

    /// Leaves the newest key alone.
    fn keep_newest_key(&self) {
        let newest = self.keys().remove(0);
        std::fs::write(&self.key_file, newest).unwrap();
    }

    fn keys(&self) -> Vec<String> {
        std::fs::read_to_string(&self.key_file).unwrap().lines().map(str::to_owned).collect()
    }

    fn hooks_folder(&self) -> PathBuf {
        self.folder.path().join("hooks")
    }

    /// Further settings of a server on it.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("KABAR_HOOKS__CACHE_FOLDER", self.hooks_folder().display().to_string()),
            ("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true".to_owned()),
        ];
        if !self.owns_keys() {
            settings.push((database::KEY_FILE, self.key_file.display().to_string()));
        }
        settings
    }

    async fn server(&self) -> TestServer {
        TestServer::shaped(|options| {
            options.set("KABAR_DATABASE_URL", &self.url);
            for (name, value) in self.settings() {
                options.set(name, &value);
            }
        })
        .await
    }

    /// A process that can be killed; it sends to no WhatsApp.
    async fn child(&self) -> Child {
        let settings = self.settings();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
        let address = Child::lasting_address();
        Child::start_at(address, self.folder.path(), &self.url, "http://127.0.0.1:9", &settings).await
    }

    /// Whether a value in the database is under another key than the newest.
    async fn has_older_values(&self) -> bool {
        let texts = database::all_rows(&self.url).await.join("\n");
        let ids: std::collections::BTreeSet<&str> =
            texts.match_indices("kse1.").map(|(place, _)| &texts[place..place + 22]).collect();
        assert!(!ids.is_empty(), "nothing is encrypted");
        ids.len() > 1
    }
}

/// A line of a key file.
fn new_key() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 32]>())
}

/// Gives a tenant's account secrets of its own.
async fn set_account_secrets(server: &TestServer, tenant: &Tenant) {
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    let secrets = json!({"access_token": ACCESS_TOKEN, "app_secret": ACCOUNT_SECRET});
    server.operator.patch(&path, &secrets).await.is(200);
}

/// Makes a subscription under an idempotency key; gives what was shown.
async fn subscribe_once(tenant: &Tenant, key: &str, url: &str) -> Value {
    let body = json!({"url": url, "events": ["message.received"]});
    let key = [("Idempotency-Key", key)];
    let made = tenant.api.post_with("/v1/webhook_subscriptions", &key, &body).await.is(201);
    let again = tenant.api.post_with("/v1/webhook_subscriptions", &key, &body).await.is(201);
    assert_eq!(made.data(), again.data(), "the record keeps what was shown once");
    made.data()
}

/// Has the server rotate; gives the answer's data.
async fn rotate(server: &TestServer) -> Value {
    server.operator.post("/admin/v1/secrets/rotate", &json!({})).await.is(200).data()
}

/// A template goes out and is accepted, so the token of the account can be read.
async fn sends(tenant: &Tenant) {
    tenant.post("messages", &Tenant::template(&from(0))).await.is(200);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn id_of(made: &Value) -> String {
    text(&made["id"])
}
