//! Contract, section 11: events brought to receivers, and everything that tenants can say about it.

mod deliveries;
mod fairness;
mod meta_form;
mod nodes;
mod outcomes;
mod refusals;
mod replays;
mod secrets;
mod signed_requests;
mod subscriptions;
mod suspension;
pub(crate) mod webhook_crashes;

use serde_json::{Value, json};

use crate::harness::{Receiver, Tenant, TestServer, manual_clock, text, until_matches, until_some};

/// Every key of a delivery, no more and no less.
const DELIVERY_KEYS: [&str; 9] = [
    "attempts",
    "created_at",
    "event_id",
    "event_type",
    "id",
    "next_attempt_at",
    "object",
    "status",
    "subscription_id",
];

/// A server that may call receivers on this machine, at a time that stands still.
async fn stage() -> (TestServer, Tenant) {
    let server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.set("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true");
    })
    .await;
    let tenant = server.tenant().await;
    (server, tenant)
}

/// A subscription to what contacts write; gives its id and its secret.
async fn subscribe(tenant: &Tenant, receiver: &Receiver) -> (String, String) {
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    let made = tenant.api.post("/v1/webhook_subscriptions", &body).await.is(201).data();
    (text(&made["id"]), text(&made["initial_secret"]))
}

async fn subscription(tenant: &Tenant, id: &str) -> Value {
    tenant.api.get(&format!("/v1/webhook_subscriptions/{id}")).await.is(200).data()
}

/// The subscription once it stands so.
#[track_caller]
fn until_status(tenant: &Tenant, id: &str, status: &str) -> impl Future<Output = Value> {
    until_matches(async move || subscription(tenant, id).await, move |found| found["status"] == status)
}

async fn set_status(tenant: &Tenant, id: &str, status: &str) {
    let path = format!("/v1/webhook_subscriptions/{id}");
    tenant.api.patch(&path, &json!({"status": status})).await.is(200);
}

/// The newest hundred deliveries that these filters let through.
async fn deliveries(tenant: &Tenant, filters: &str) -> Vec<Value> {
    tenant.api.get(&format!("/v1/webhook_deliveries?limit=100&{filters}")).await.is(200).rows()
}

/// The deliveries that filters let through once there are so many.
#[track_caller]
fn until_deliveries(tenant: &Tenant, filters: &str, count: usize) -> impl Future<Output = Vec<Value>> {
    until_matches(async move || deliveries(tenant, filters).await, move |rows| rows.len() == count)
}

/// The only delivery there is, once so many attempts at it are recorded.
#[track_caller]
fn until_attempts(tenant: &Tenant, count: usize) -> impl Future<Output = Value> {
    until_some(move || async move {
        let rows = deliveries(tenant, "").await;
        assert!(rows.len() <= 1, "{rows:?}");
        rows.into_iter().find(|row| attempts(row).len() == count)
    })
}

fn attempts(delivery: &Value) -> Vec<Value> {
    delivery["attempts"].as_array().unwrap().clone()
}

fn instant(value: &Value) -> kabar_core::domain::time::Timestamp {
    let bound = kabar_core::domain::time::TimeBound::parse(value.as_str().expect("an instant"));
    bound.expect("an instant").strictly_after()
}

/// How long from now until a delivery's next attempt.
fn pause(server: &TestServer, delivery: &Value) -> std::time::Duration {
    instant(&delivery["next_attempt_at"]).duration_since(server.clock.read_now()).unwrap_or_default()
}
