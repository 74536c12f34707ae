//! Contract, section 18: an account that WhatsApp refuses keeps what waits, and recovers by itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::graph_stub::GraphStub;
use crate::harness::{Tenant, TestServer, from, manual_clock, text, until_matches};

async fn account(tenant: &Tenant) -> Value {
    tenant.api.get("/v1/accounts?status=all").await.rows().remove(0)
}

fn refusal(code: u32) -> Value {
    json!({"error": {"message": format!("(#{code}) refused"), "type": "OAuthException", "code": code}})
}

/// Moves the clock on until the account's number has been asked for so often; gives the time that went by.
async fn until_asked(server: &TestServer, graph: &GraphStub, times: usize) -> Duration {
    let began = server.clock.read_now();
    let asked = async || {
        server.advance_between_calls(Duration::from_secs(5)).await;
        graph.calls("GET").len()
    };
    until_matches(asked, |asked| *asked == times).await;
    let went_by = server.clock.read_now().millis() - began.millis();
    Duration::from_millis(u64::try_from(went_by).unwrap())
}

#[tokio::test]
async fn a_refused_account_keeps_what_waits_and_recovers_by_itself() {
    let graph = GraphStub::start().await;
    let base_url = graph.base_url.clone();
    let server = TestServer::shaped(|options| {
        options.graph = Some(base_url);
        options.clock = manual_clock();
    })
    .await;
    let tenant = server.tenant().await;
    graph.hold(true);
    graph.answer_with(403, refusal(10));
    graph.answer_reads_with(403, refusal(10));
    let mut ids = Vec::new();
    for nth in 1..=3 {
        ids.push(text(&tenant.sends(&from(nth)).await["id"]));
    }
    let before = graph.calls("GET").len();
    graph.hold(false);
    let row = until_matches(async || account(&tenant).await, |row| row["status"] == "degraded").await;
    assert_eq!(row["status_reason"], "(#10) refused");
    tenant.post("messages", &Tenant::template(&from(4))).await.refused(422, "account_not_connected");
    until_matches(async || server.metric("kabar_sends_under_way").await, |under_way| *under_way == 0).await;
    let calls = graph.calls("POST").len();
    assert!((1..=3).contains(&calls), "{calls}");

    let mut asked = before;
    for minutes in [1, 5, 15] {
        asked += 1;
        let waited = until_asked(&server, &graph, asked).await;
        assert!(waited >= Duration::from_secs(60 * minutes - 5), "{waited:?}");
    }
    assert_eq!(graph.calls("POST").len(), calls, "nothing was sent");
    for id in &ids {
        assert_eq!(tenant.message(id).await["status"], "pending");
    }

    graph.answer_reads_with(200, json!({"id": tenant.id, "verified_name": "Toko"}));
    graph.hold(true);
    graph.accept();
    until_asked(&server, &graph, asked + 1).await;
    until_matches(async || account(&tenant).await, |row| row["status"] == "connected").await;
    assert_eq!(account(&tenant).await["status_reason"], Value::Null);
    until_matches(async || graph.calls("POST").len(), |sent| *sent == calls + 1).await;
    let first = graph.calls("POST").remove(calls);
    assert_eq!(first.body["biz_opaque_callback_data"], ids[0], "the oldest goes alone first");
    assert!(first.path.ends_with(&format!("/{}/messages", tenant.id)), "{}", first.path);
    graph.hold(false);
    for id in &ids {
        tenant.message_when(id, |message| message["status"] == "sent").await;
    }
    assert_eq!(graph.calls("POST").len(), calls + 3, "each once");
    let log = tenant.get("events?limit=100").await.json();
    let events = log["data"].as_array().unwrap();
    let told = events.iter().filter(|event| event["type"] == "account.updated").count();
    assert!(told >= 2, "degraded and connected: {events:#?}");
}
