//! Contract, section 8: how each of WhatsApp's errors ends, seen through the API.
//!
//! Errors that pass are tried again until the message is out; errors that last are told, with the
//! contract's word and Meta's number, and never tried again; a refused token stops the account.

use std::time::Duration;

use kabar::simulator::{CallGate, FailureRule, RuleTrigger, RuleVerdict, StatusDelays};
use kabar_core::domain::phone::Phone;
use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, from, manual_clock, patiently, text, until, until_matches};

/// Numbers that last, and the contract's words for them. Those that WhatsApp tells by a status are
/// told by a status here, too.
const LASTING: [(i64, &str); 13] = [
    (131_047, "outside_24h_window"),
    (131_026, "recipient_not_on_whatsapp"),
    (132_000, "template_param_count_mismatch"),
    (132_001, "template_not_found"),
    (132_012, "template_param_format_mismatch"),
    (132_015, "template_paused"),
    (132_016, "template_disabled"),
    (131_052, "media_download_failed"),
    (131_053, "media_download_failed"),
    (131_049, "marketing_limit_reached"),
    (131_050, "recipient_opted_out"),
    (131_062, "recipient_not_addressable"),
    // The rest have no word of their own.
    (100, "whatsapp_error"),
];

/// What passes.
const PASSING: [RuleVerdict; 12] = [
    RuleVerdict::Error(1),
    RuleVerdict::Error(2),
    RuleVerdict::Error(4),
    RuleVerdict::Error(80_007),
    RuleVerdict::Error(130_429),
    RuleVerdict::Error(131_000),
    RuleVerdict::Error(131_016),
    RuleVerdict::Error(131_056),
    RuleVerdict::Http(429),
    RuleVerdict::Http(500),
    RuleVerdict::Http(503),
    RuleVerdict::Cut,
];

fn only(to: &str, times: Option<u32>, verdict: RuleVerdict) -> FailureRule {
    FailureRule { to: Phone::parse(to), trigger: RuleTrigger::Always, times, verdict }
}

/// Moves the time on until something is so.
async fn in_time(server: &TestServer, step: Duration, so: impl AsyncFn() -> bool) {
    until(async || {
        let holds = so().await;
        if !holds {
            // What became due gets its turn.
            server.advance_between_calls(step).await;
        }
        holds
    })
    .await;
}

#[tokio::test]
async fn errors_that_last_are_told_by_word_and_number_and_not_tried_again() {
    let server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.status_delay = StatusDelays::NONE;
    })
    .await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 1000).await;
    let rules = LASTING.map(|(code, _)| only(&format!("62813{code:07}"), None, RuleVerdict::Error(code)));
    server.simulator.set_rules(rules.into());
    for (code, word) in LASTING {
        let id = text(&tenant.sends(&format!("62813{code:07}")).await["id"]);
        let failed = tenant.message_when(&id, |message| message["status"] == "failed").await;
        let error = &failed["error"];
        assert_eq!((&error["code"], &error["provider_code"]), (&json!(word), &json!(code)));
        assert!(!text(&error["message"]).is_empty() && failed["failed_at"].is_string(), "{failed}");
    }
    // Not even much later; a message sent meanwhile shows that the sender is at work.
    server.clock.advance_manual(Duration::from_hours(1));
    tenant.sent(&from(1)).await;
    assert_eq!(server.simulator.counts().borrow().received, 1 + u64::try_from(LASTING.len()).unwrap());
    let row = tenant.api.get("/v1/accounts").await.rows().remove(0);
    assert_eq!(row["status"], "connected", "none of them says anything about the account");
}

#[tokio::test]
async fn errors_that_pass_are_tried_again_until_the_message_is_out_once() {
    let server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "5");
    })
    .await;
    let mut rules = Vec::new();
    let mut sent = Vec::new();
    // An account each, so that none of them slows another down.
    for (nth, verdict) in PASSING.into_iter().enumerate() {
        let to = from(nth);
        rules.push(only(&to, Some(2), verdict));
        sent.push((server.tenant().await, to, verdict));
    }
    server.simulator.set_rules(rules);
    let mut ids = Vec::new();
    for (tenant, to, _) in &sent {
        ids.push(text(&tenant.sends(to).await["id"]));
    }
    let total = u64::try_from(PASSING.len()).unwrap();
    in_time(&server, Duration::from_millis(500), async || {
        server.simulator.counts().borrow().accepted == total
    })
    .await;
    for ((tenant, to, verdict), id) in sent.iter().zip(&ids) {
        // It may have been delivered already.
        let message = tenant.message_when(id, |message| message["status"] != "pending").await;
        assert_eq!(message["error"], Value::Null, "{verdict:?}");
        let statuses: Vec<&Value> =
            message["status_history"].as_array().unwrap().iter().map(|seen| &seen["status"]).collect();
        assert_eq!(statuses[..2], ["pending", "sent"], "{verdict:?}");
        assert_eq!(server.simulator.sends_to(&Phone::parse(to).unwrap()), 1, "{verdict:?}");
    }
    let counts = *server.simulator.counts().borrow();
    assert_eq!(counts.received, 3 * total, "two that failed and one that did not, each");
}

#[tokio::test]
async fn an_error_that_should_pass_and_does_not_is_told_in_the_end() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.simulator.set_rules(vec![only(&from(1), None, RuleVerdict::Error(131_000))]);
    let id = text(&tenant.sends(&from(1)).await["id"]);
    in_time(&server, Duration::from_secs(5), async || tenant.message(&id).await["status"] == "failed").await;
    let failed = tenant.message(&id).await;
    assert_eq!(
        (&failed["error"]["code"], &failed["error"]["provider_code"]),
        (&json!("whatsapp_error"), &json!(131_000))
    );
    let counts = *server.simulator.counts().borrow();
    assert!((5..=20).contains(&counts.received), "{counts:?}");
    assert_eq!((counts.accepted, counts.refused), (0, counts.received));
    // The next message of the thread goes its way.
    server.simulator.set_rules(Vec::new());
    tenant.sent(&from(1)).await;
}

/// The account's row in the list of all.
async fn account(tenant: &Tenant) -> Value {
    tenant.api.get("/v1/accounts?status=all").await.rows().remove(0)
}

#[tokio::test]
async fn a_refused_token_stops_the_account_until_the_operator_gives_a_new_one() {
    for code in [190, 0] {
        let server = TestServer::start().await;
        let tenant = server.tenant().await;
        server.simulator.set_gate(CallGate::Held);
        server.simulator.set_rules(vec![only(&from(1), Some(1), RuleVerdict::Error(code))]);
        // One thread, so that the second and the third wait for the first.
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(text(&tenant.sends(&from(1)).await["id"]));
        }
        let mut counts = server.simulator.counts();
        patiently(counts.wait_for(|counts| counts.received == 1)).await.unwrap();
        assert_eq!(server.metric("kabar_accounts{status=\"degraded\"}").await, 0);
        server.simulator.set_gate(CallGate::Open);

        until_matches(async || account(&tenant).await, |row| row["status"] == "degraded").await;
        assert!(text(&account(&tenant).await["status_reason"]).len() > 3);
        assert!(tenant.api.get("/v1/accounts").await.rows().is_empty(), "it is not connected");
        assert_eq!(server.metric("kabar_accounts{status=\"degraded\"}").await, 1);
        assert_eq!(server.metric("kabar_accounts{status=\"connected\"}").await, 0);
        let refused = tenant.post("messages", &Tenant::template(&from(2))).await;
        refused.refused(422, "account_not_connected");
        // What customers write still arrives.
        tenant.hears(&from(2), "hello?").await;
        for id in &ids {
            assert_eq!(
                tenant.message(id).await["status"],
                "pending",
                "not even the one that found out failed"
            );
        }
        assert_eq!(server.simulator.counts().borrow().received, 1, "nothing was tried");

        let path = format!("/admin/v1/accounts/{}", tenant.id);
        let patched = server.operator.patch(&path, &json!({"access_token": "EAAGnew"})).await.is(200).data();
        assert_eq!(patched["status"], "connected");
        for id in &ids {
            tenant.message_when(id, |message| message["status"] == "sent").await;
        }
        let order: Vec<_> = server.simulator.sends().into_iter().filter_map(|send| send.opaque).collect();
        assert_eq!(order, ids);
        assert_eq!(account(&tenant).await["status"], "connected");
        assert_eq!(server.metric("kabar_accounts{status=\"degraded\"}").await, 0);
        tenant.sent(&from(2)).await;
    }
}

#[tokio::test]
async fn a_degraded_account_is_still_degraded_after_a_restart() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    server.operator.patch(&path, &json!({"access_token": "expired-1"})).await.is(200);
    let id = text(&tenant.sends(&from(1)).await["id"]);
    until_matches(async || account(&tenant).await, |row| row["status"] == "degraded").await;
    assert_eq!(tenant.message(&id).await["status"], "pending");
    server.restart().await;
    assert_eq!(account(&tenant).await["status"], "degraded");
    assert_eq!(server.metric("kabar_accounts{status=\"degraded\"}").await, 1);
    tenant.post("messages", &Tenant::template(&from(1))).await.refused(422, "account_not_connected");
}
