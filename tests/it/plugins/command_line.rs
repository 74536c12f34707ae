//! `kabar plugin deploy`, `runs`, `logs` and `rollback` against a running server.

use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::guests::Guest;
use super::tenant_plugins::{Plugin, stage};
use crate::harness::{Tenant, TestServer, from, patiently, text};

/// Someone at a terminal.
struct Terminal<'a> {
    server: &'a TestServer,
    tenant: &'a Tenant,
    folder: TempDir,
}

impl Terminal<'_> {
    /// What a command says, and whether it went well.
    async fn says(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
        command.arg("plugin").args(arguments).args(["--url", &format!("http://{}", self.server.address())]);
        command.env("KABAR_API_KEY", &self.tenant.key).current_dir(self.folder.path()).kill_on_drop(true);
        let output = patiently(command.output()).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    async fn does(&self, arguments: &[&str]) -> String {
        let (well, said) = self.says(arguments).await;
        assert!(well, "{said}");
        said
    }

    fn keeps(&self, name: &str, guest: &Guest) {
        std::fs::write(self.folder.path().join(name), guest.component()).unwrap();
    }
}

#[tokio::test]
async fn a_hook_is_deployed_watched_and_rolled_back() {
    let (server, tenant) = stage().await;
    let terminal = Terminal { server: &server, tenant: &tenant, folder: tempfile::tempdir().unwrap() };
    terminal.keeps("greeter.wasm", &Guest::says("the first"));
    let more = ["--events", "message.received", "--setting", "template=sorry", "--secret", "token=hunter2"];
    let said = terminal.does(&[&["deploy", "greeter.wasm"], more.as_slice()].concat()).await;
    assert!(said.contains("greeter runs plv_") && !said.contains("hunter2"), "{said}");
    let row = tenant.api.get("/v1/plugins").await.rows().remove(0);
    assert_eq!((&row["name"], &row["config"]), (&json!("greeter"), &json!({"template": "sorry"})));
    let plugin = Plugin { id: text(&row["id"]), api: tenant.api.clone() };
    tenant.hears(&from(0), "hi").await;
    plugin.until("succeeded", 1).await;
    let said = terminal.does(&["logs", "greeter"]).await;
    assert!(said.contains("the first") && said.contains("info"), "{said}");

    terminal.keeps("second.wasm", &Guest::rejects("not mine"));
    terminal.does(&["deploy", "second.wasm", "--name", "greeter"]).await;
    assert_eq!(tenant.api.get("/v1/plugins").await.rows().len(), 1, "a known name is the same plugin");
    tenant.hears(&from(0), "again").await;
    plugin.until("dead", 1).await;
    let said = terminal.does(&["runs", "greeter", "--status", "dead"]).await;
    assert!(said.contains("not mine") && said.lines().count() == 1, "{said}");
    let said = terminal.does(&["rollback", &plugin.id]).await;
    assert!(said.contains(&text(&row["active_version_id"])), "{said}");
    tenant.hears(&from(0), "once more").await;
    plugin.until("succeeded", 2).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let (server, tenant) = stage().await;
    let terminal = Terminal { server: &server, tenant: &tenant, folder: tempfile::tempdir().unwrap() };
    std::fs::write(terminal.folder.path().join("junk.wasm"), "junk").unwrap();
    let (well, said) = terminal.says(&["deploy", "junk.wasm", "--events", "message.received"]).await;
    assert!(!well && said.contains("422") && said.contains("WebAssembly"), "{said}");
    let (well, said) = terminal.says(&["deploy", "absent.wasm"]).await;
    assert!(!well && said.contains("absent.wasm"), "{said}");
    let (well, said) = terminal.says(&["logs", "nobody"]).await;
    assert!(!well && said.contains("there is no plugin nobody"), "{said}");
    let (well, said) = terminal.says(&["rollback", "junk"]).await;
    assert!(!well && said.contains("before"), "{said}");
}
