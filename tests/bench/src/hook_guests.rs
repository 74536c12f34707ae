//! The bench's hooks, and how they are deployed.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::child::Child;
use super::stage::Tenant;

/// Counts its events under a key.
pub(super) const COUNTS: &str = r#"
    (import "kabar:hooks/kv@1.0.0" "add" (func $add (param i32 i32 i64 i32)))
    (data (i32.const 1024) "events")
    (func $work (param $event i32)
        (call $add (i32.const 1024) (i32.const 6) (i64.const 1) (i32.const 2048)))"#;

/// Does nothing.
pub(super) const RESTS: &str = "(func $work (param $event i32))";

/// Computes about as long as it may, and succeeds.
pub(super) const BURNS: &str = "
    (func $work (param $event i32) (local $left i64)
        (local.set $left (i64.const 25000000))
        (loop $on
            (local.set $left (i64.sub (local.get $left) (i64.const 1)))
            (br_if $on (i64.ne (local.get $left) (i64.const 0)))))";

/// Calls this address with the id of the event's message, which is found where the canonical ABI puts it.
pub(super) fn calls(url: &str) -> String {
    let length = url.len();
    format!(
        r#"
    (import "kabar:hooks/http@1.0.0" "fetch"
        (func $fetch (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 1024) "POST")
    (data (i32.const 1040) "{url}")
    (func $work (param $event i32)
        (call $fetch
            (i32.const 1024) (i32.const 4)
            (i32.const 1040) (i32.const {length})
            (i32.const 0) (i32.const 0)
            (i32.const 1) (i32.load offset=72 (local.get $event)) (i32.load offset=76 (local.get $event))
            (i32.const 0) (i32.const 0)
            (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then unreachable)))"#
    )
}

fn component(parts: &str) -> anyhow::Result<Vec<u8>> {
    let module = include_str!("../../../plugins/fixtures/guest.wat.in").replace("{parts}", parts);
    let module = module.replace("{body}", "(call $work (local.get $event)) (i32.const 64)");
    Ok(kabar_plugins::component::wrap::wrap_module(&wat::parse_str(module)?)?)
}

/// A plugin that gets statuses.
pub(super) struct Hook<'a> {
    tenant: &'a Tenant,
    server: &'a Child,
    pub(super) id: String,
}

impl<'a> Hook<'a> {
    /// One that does not run yet, and may call these hosts.
    pub(super) async fn make(tenant: &'a Tenant, server: &'a Child, hosts: &[&str]) -> anyhow::Result<Self> {
        let body = json!({"name": "bench", "events": ["message.status"], "allowed_hosts": hosts});
        let id = id(&tenant.ask(server, &tenant.post("/v1/plugins", &body.to_string())).await?)?;
        Ok(Self { tenant, server, id })
    }

    /// Uploads a component; gives its version.
    pub(super) async fn upload(&self, parts: &str) -> anyhow::Result<String> {
        let upload = self.tenant.upload(&format!("{}/versions", self.path()), &component(parts)?);
        id(&self.tenant.ask(self.server, &upload).await?)
    }

    /// Has this version run from the next event on.
    pub(super) async fn activate(&self, version: &str) -> anyhow::Result<()> {
        let body = json!({"version_id": version}).to_string();
        let request = self.tenant.post(&format!("{}/activate", self.path()), &body);
        self.tenant.ask(self.server, &request).await.map(drop)
    }

    pub(super) async fn set_enabled(&self, enabled: bool) -> anyhow::Result<()> {
        let request = self.tenant.patch(&self.path(), &json!({"enabled": enabled}).to_string());
        self.tenant.ask(self.server, &request).await.map(drop)
    }

    fn path(&self) -> String {
        format!("/v1/plugins/{}", self.id)
    }
}

fn id(answer: &Value) -> anyhow::Result<String> {
    let id = answer.pointer("/data/id").and_then(Value::as_str);
    Ok(id.with_context(|| format!("no id in {answer}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_are_components() {
        for parts in [COUNTS, RESTS, BURNS, &calls("http://127.0.0.1:9/")] {
            assert!(component(parts).is_ok_and(|component| component.starts_with(b"\0asm")));
        }
    }
}
