//! Backups as docs/operations.md makes them: taken while everything is written to, restored to a fresh
//! place, and served from there.
//!
//! Invariant: what was acknowledged before a backup began is in it, and what is in it fits together.

use std::collections::BTreeSet;
use std::path::Path;

use kabar::simulator::StatusDelays;
use serde_json::Value;
use tokio::process::Command;

use crate::faults::postgres_faults::load::Load;
use crate::harness::postgres::{Postgres, as_owner, program, said};
use crate::harness::{Tenant, TestServer, database, from, text};

const WRITERS: usize = 3;

async fn server_on(url: &str) -> TestServer {
    TestServer::shaped(|options| {
        options.status_delay = StatusDelays::NONE;
        options.set("KABAR_DATABASE_URL", url);
    })
    .await
}

/// What the API shows of a tenant before a backup.
struct Before {
    tenant: Tenant,
    messages: BTreeSet<String>,
    contacts: BTreeSet<String>,
    next_page: String,
}

async fn ids(tenant: &Tenant, list: &str) -> BTreeSet<String> {
    tenant.all(list).await.iter().map(|row| text(&row["id"])).collect()
}

impl Before {
    async fn of(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.clone(),
            messages: ids(tenant, "messages?limit=100").await,
            contacts: ids(tenant, "contacts?limit=100").await,
            next_page: tenant.get("contacts?limit=2").await.cursor().unwrap(),
        }
    }

    /// A server on what was restored has it all, in one piece, and goes on from there.
    async fn is_restored_at(&self, url: &str) {
        let mut server = server_on(url).await;
        let tenant = server.here(&self.tenant);
        let messages = tenant.all("messages?limit=100").await;
        let known: BTreeSet<String> = messages.iter().map(|row| text(&row["id"])).collect();
        assert!(known.is_superset(&self.messages), "{:?}", self.messages.difference(&known));
        assert!(ids(&tenant, "contacts?limit=100").await.is_superset(&self.contacts));
        let conversations = tenant.all("conversations?limit=100").await;
        let unread = |conversation: &Value| {
            let of_it = messages.iter().filter(|row| row["conversation_id"] == conversation["id"]);
            of_it.filter(|row| row["status"] == "received").count()
        };
        for conversation in &conversations {
            assert_eq!(conversation["unread_count"], unread(conversation), "{conversation}");
        }
        for message in &messages {
            assert!(conversations.iter().any(|row| row["id"] == message["conversation_id"]), "{message}");
        }
        // Keys and cursors made before are good there.
        tenant.get(&format!("contacts?limit=2&cursor={}", self.next_page)).await.is(200);
        tenant.hears(&from(0), "after the restore").await;
        server.stop().await;
    }
}

/// A tenant under load, a backup in the middle of it.
async fn backed_up(url: &str, backup: impl AsyncFn()) -> (TestServer, Before) {
    let server = server_on(url).await;
    let tenant = server.tenant().await;
    tenant.inbox(WRITERS).await;
    let mut load = Load::begin(&tenant, WRITERS, &["conversations"]);
    load.more(|progress| progress.written, 60).await;
    let before = Before::of(&tenant).await;
    backup().await;
    load.more(|progress| progress.written, 30).await;
    load.end(&server).await;
    (server, before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_is_copied_under_load_and_when_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("kabar.db"), folder.path().join("copy.db"));
    let (mut server, before) = backed_up(&database::sqlite(folder.path()), async || {
        let mut sqlite3 = Command::new("sqlite3");
        said(sqlite3.arg(&file).arg(format!("VACUUM INTO '{}'", copy.display()))).await;
    })
    .await;
    // The key is kept apart from the database, and goes where the database goes.
    let key = folder.path().join("kabar.db.key");
    std::fs::copy(&key, folder.path().join("copy.db.key")).unwrap();
    before.is_restored_at(&format!("sqlite://{}", copy.display())).await;

    let before = Before::of(&before.tenant).await;
    server.stop().await;
    let log = folder.path().join("kabar.db-wal");
    assert!(!log.exists(), "after an orderly stop everything is in the one file");
    let cold = folder.path().join("cold.db");
    std::fs::copy(&file, &cold).unwrap();
    std::fs::copy(&key, folder.path().join("cold.db.key")).unwrap();
    before.is_restored_at(&format!("sqlite://{}", cold.display())).await;
}

async fn dump(database: &Postgres, file: &Path) {
    let mut dump = as_owner(&program("pg_dump"));
    said(dump.args(["--format=custom", "--file"]).arg(file).arg(database.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_database_is_dumped_under_load_and_restored() {
    let (from_here, to_there) = (Postgres::fresh().await, Postgres::fresh().await);
    let file = from_here.folder().join("kabar.dump");
    let (_server, before) = backed_up(&from_here.url(), async || dump(&from_here, &file).await).await;
    let url = to_there.url();
    let mut restore = as_owner(&program("pg_restore"));
    said(restore.args(["--exit-on-error", "--no-owner", "--dbname", &url]).arg(&file)).await;
    before.is_restored_at(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_server_is_copied_under_load_and_started() {
    let database = Postgres::fresh().await;
    let copy = tokio::sync::OnceCell::new();
    let (_server, before) = backed_up(&database.url(), async || {
        assert!(copy.set(database.base_backup().await).is_ok());
    })
    .await;
    before.is_restored_at(&copy.get().unwrap().url()).await;
}
