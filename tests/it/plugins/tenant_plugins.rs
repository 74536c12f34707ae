//! A tenant with plugins, and what tests do with them all the time.

use serde_json::{Value, json};

use super::guests::Guest;
use crate::harness::{Answer, Client, Tenant, TestServer, from, text, until_matches};

/// A plugin of a tenant's.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    pub(super) id: String,
    pub(super) api: Client,
}

impl Plugin {
    /// Makes a plugin of this shape.
    pub(super) async fn make(tenant: &Tenant, more: Value) -> Self {
        let mut body = json!({"name": "test", "events": ["message.received"]});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let made = tenant.api.post("/v1/plugins", &body).await.is(201).data();
        Self { id: text(&made["id"]), api: tenant.api.clone() }
    }

    /// Makes a plugin that runs this guest.
    pub(super) async fn running(tenant: &Tenant, guest: &Guest) -> Self {
        let plugin = Self::make(tenant, json!({})).await;
        plugin.deploy(guest).await;
        plugin
    }

    pub(super) fn path(&self, tail: &str) -> String {
        format!("/v1/plugins/{}{tail}", self.id)
    }

    pub(super) async fn get(&self, tail: &str) -> Answer {
        self.api.get(&self.path(tail)).await
    }

    pub(super) async fn post(&self, tail: &str, body: &Value) -> Answer {
        self.api.post(&self.path(tail), body).await
    }

    pub(super) async fn upload(&self, component: Vec<u8>) -> Answer {
        self.api.upload(&self.path("/versions"), "application/wasm", component).await
    }

    /// Uploads a guest and activates it; gives the version's id.
    pub(super) async fn deploy(&self, guest: &Guest) -> String {
        let version = text(&self.upload(guest.component()).await.is(201).data()["id"]);
        self.activate_version(&version).await;
        version
    }

    pub(super) async fn activate_version(&self, version: &str) {
        self.post("/activate", &json!({"version_id": version})).await.is(200);
    }

    pub(super) async fn row(&self) -> Value {
        self.get("").await.is(200).data()
    }

    /// Its runs, newest first.
    pub(super) async fn is_running(&self) -> Vec<Value> {
        self.get("/runs?limit=100").await.is(200).rows()
    }

    /// Its runs once they are as wanted.
    pub(super) async fn runs_when(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        until_matches(async || self.is_running().await, |rows| wanted(rows)).await
    }

    /// Its runs once so many stand so.
    pub(super) async fn until(&self, status: &str, count: usize) -> Vec<Value> {
        self.runs_when(|rows| rows.iter().filter(|row| row["status"] == status).count() >= count).await
    }

    /// Its row once it is as wanted.
    pub(super) async fn row_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        until_matches(async || self.row().await, wanted).await
    }
}

/// A server whose time stands still, and a tenant to whom the first contact has written, so that there is
/// a window to write back.
pub(super) async fn stage() -> (TestServer, Tenant) {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(0), "hello").await;
    (server, tenant)
}
