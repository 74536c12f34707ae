//! Contract, section 19: what an account says of its number, and from where it knows.

use std::time::Duration;

use kabar_core::domain::account::PhoneNumberId;
use serde_json::{Value, json};

use crate::harness::graph_stub::GraphStub;
use crate::harness::{
    APP_SECRET, InboundWebhook, Tenant, TestServer, from, manual_clock, post_bytes, text, text_from,
    until_advancing, until_matches,
};

const WABA: &str = "102290129340398";

async fn account(tenant: &Tenant) -> Value {
    tenant.api.get("/v1/accounts?status=all").await.rows().remove(0)
}

async fn events(tenant: &Tenant, types: &str) -> Vec<Value> {
    let part = tenant.get(&format!("events?types={types}&limit=100")).await.is(200).json();
    part["data"].as_array().unwrap().clone()
}

async fn updates(tenant: &Tenant) -> Vec<Value> {
    events(tenant, "account.updated")
        .await
        .into_iter()
        .map(|event| event["data"]["account"].clone())
        .collect()
}

async fn told(tenant: &Tenant) -> Vec<Value> {
    events(tenant, "whatsapp.*").await.into_iter().map(|event| event["type"].clone()).collect()
}

/// A change of a WhatsApp Business Account.
async fn tell(server: &TestServer, waba_id: &str, field: &str, value: &Value) {
    let entry = json!({"id": waba_id, "changes": [{"field": field, "value": value}]});
    let body = json!({"object": "whatsapp_business_account", "entry": [entry]});
    post_bytes(&server.anyone, body.to_string().into_bytes(), APP_SECRET).await.is(200);
}

async fn stage(graph: &GraphStub) -> TestServer {
    let base_url = graph.base_url.clone();
    TestServer::shaped(|options| {
        options.graph = Some(base_url);
        options.clock = manual_clock();
    })
    .await
}

#[tokio::test]
async fn properties_come_at_connection_and_once_a_day() {
    let graph = GraphStub::start().await;
    graph.answer_reads_with(
        200,
        json!({"id": "1", "verified_name": "Toko Melati", "name_status": "APPROVED", "quality_rating": "GREEN",
            "messaging_limit_tier": "TIER_250", "whatsapp_business_manager_messaging_limit": "TIER_10K"}),
    );
    let server = stage(&graph).await;
    let tenant = server.tenant().await;
    let row = account(&tenant).await;
    for (name, value) in [
        ("verified_name", json!("Toko Melati")),
        ("name_status", json!("APPROVED")),
        ("quality_rating", json!("GREEN")),
        ("messaging_limit", json!(10_000)),
        ("messaging_limit_tier", json!("TIER_10K")),
        ("waba_id", Value::Null),
        ("status_reason", Value::Null),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    assert_eq!(updates(&tenant).await, std::slice::from_ref(&row));
    let looks = graph.calls("GET");
    assert_eq!(looks.len(), 1);
    assert!(looks[0].path.ends_with(&tenant.id), "{}", looks[0].path);

    let hour = Duration::from_hours(1);
    until_advancing(&server.clock, hour, async || server.metric("kabar_profile_looks_total").await == 2)
        .await;
    assert_eq!((account(&tenant).await, updates(&tenant).await.len()), (row, 1), "nothing has changed");
    graph.answer_reads_with(200, json!({"id": "1", "quality_rating": "YELLOW"}));
    until_advancing(&server.clock, hour, async || server.metric("kabar_profile_looks_total").await == 3)
        .await;
    let row = account(&tenant).await;
    assert_eq!((&row["quality_rating"], &row["verified_name"]), (&json!("YELLOW"), &json!("Toko Melati")));
    assert_eq!(updates(&tenant).await[1..], [row]);
}

#[tokio::test]
async fn a_look_that_fails_harms_nothing_and_is_repeated() {
    let graph = GraphStub::start().await;
    graph.answer_reads_with(401, json!({"error": {"code": 190, "message": "no", "type": "OAuthException"}}));
    let server = stage(&graph).await;
    let tenant = server.tenant().await;
    let row = account(&tenant).await;
    assert_eq!((&row["status"], &row["quality_rating"]), (&json!("connected"), &Value::Null));
    assert!(server.metric("kabar_profile_look_failures_total").await >= 1);
    tenant.sent(&from(1)).await;
    graph.answer_reads_with(200, json!({"id": "1", "quality_rating": "GREEN"}));
    let is_told = async || account(&tenant).await["quality_rating"] == "GREEN";
    until_advancing(&server.clock, Duration::from_secs(30), is_told).await;
}

#[tokio::test]
async fn a_new_token_brings_the_properties() {
    let graph = GraphStub::start().await;
    let server = stage(&graph).await;
    let tenant = server.tenant().await;
    graph.answer_reads_with(200, json!({"id": "1", "verified_name": "Toko"}));
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    server.operator.patch(&path, &json!({"access_token": "EAAGnew"})).await.is(200);
    until_matches(async || account(&tenant).await, |row| row["verified_name"] == "Toko").await;
}

#[tokio::test]
async fn news_of_the_quality_make_a_look_once() {
    let graph = GraphStub::start().await;
    let server = stage(&graph).await;
    let tenant = server.tenant().await;
    assert_eq!(graph.calls("GET").len(), 1);
    graph.answer_reads_with(200, json!({"id": "1", "quality_rating": "RED"}));
    let news = json!({"display_phone_number": tenant.phone.trim_start_matches('+'), "event": "DOWNGRADE",
        "max_daily_conversations_per_business": "TIER_1K"});
    tell(&server, WABA, "phone_number_quality_update", &news).await;
    let row = until_matches(async || account(&tenant).await, |row| row["quality_rating"] == "RED").await;
    assert_eq!((&row["messaging_limit"], &row["messaging_limit_tier"]), (&json!(1000), &json!("TIER_1K")));
    assert_eq!(updates(&tenant).await.len(), 2, "the limit, and then the rating");
    // The same webhook again tells nothing.
    tell(&server, WABA, "phone_number_quality_update", &news).await;
    let limits = json!({"max_daily_conversations_per_business": -1, "max_phone_numbers_per_waba": 25});
    tell(&server, WABA, "business_capability_update", &limits).await;
    let row = account(&tenant).await;
    assert_eq!(
        (&row["messaging_limit"], &row["messaging_limit_tier"]),
        (&Value::Null, &json!("TIER_UNLIMITED"))
    );
    assert_eq!((updates(&tenant).await.len(), graph.calls("GET").len()), (3, 2));
    assert_eq!(
        told(&tenant).await,
        ["whatsapp.phone_number_quality_update", "whatsapp.business_capability_update"]
    );
}

#[tokio::test]
async fn the_business_account_is_given_at_connection_or_learned_without_an_event() {
    let server = TestServer::start().await;
    let given = server.tenant().await;
    let (id, phone) = server.account_with(&given.organisation, json!({"waba_id": "77"})).await;
    let given = Tenant { id, phone, ..given };
    let row = async |tenant: &Tenant| {
        let rows = tenant.api.get("/v1/accounts?status=all").await.rows();
        rows.into_iter().find(|row| row["phone_number_id"] == tenant.id.as_str()).unwrap()
    };
    assert_eq!(row(&given).await["waba_id"], "77");
    // What concerns the whole business account reaches a number that was given it.
    tell(&server, "77", "account_alerts", &json!({"entity_type": "WABA"})).await;
    assert_eq!(told(&given).await, ["whatsapp.account_alerts"]);

    let learner = server.tenant().await;
    assert_eq!(row(&learner).await["waba_id"], Value::Null);
    for nth in 0..3 {
        learner.hears(&from(nth), "hello").await;
        assert_eq!(row(&learner).await["waba_id"], WABA);
    }
    assert!(updates(&learner).await.is_empty());
    // The number has moved to another business account.
    let message = text_from(&from(1), learner.clock.read_now(), "again");
    let mut body = InboundWebhook::default().messages(&learner.id, &[message]).body();
    body["entry"][0]["id"] = "88".into();
    post_bytes(&server.anyone, body.to_string().into_bytes(), APP_SECRET).await.is(200);
    assert_eq!(row(&learner).await["waba_id"], "88");
    assert!(updates(&learner).await.is_empty());
    let bad = json!({"phone_number_id": "555666777", "phone_number": "+6281200000008", "access_token": "x",
        "waba_id": "x"});
    let path = format!("/admin/v1/organizations/{}/accounts", learner.organisation);
    assert_eq!(
        server.operator.post(&path, &bad).await.refused(400, "invalid_field_value")["param"],
        "waba_id"
    );
}

#[tokio::test]
async fn the_simulated_whatsapp_tells_the_properties_too() {
    let mut server = TestServer::shaped(|options| options.number_profiles = true).await;
    let tenant = server.tenant().await;
    let row = until_matches(async || account(&tenant).await, |row| !row["verified_name"].is_null()).await;
    assert_eq!((&row["verified_name"], &row["messaging_limit"]), (&json!("Simulated Shop"), &json!(1000)));
    assert!(PhoneNumberId::parse(&text(&row["phone_number_id"])).is_some());
    server.restart().await;
    assert_eq!(account(&tenant).await, row);
}
