//! Rotation on a server that is alone: under load, cut off in the middle, and with compiled components.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::harness::{Receiver, patiently, until, until_matches};
use crate::plugins::guests::Guest;

/// Changes and reads secrets until it is told to stop; gives the number of rounds.
async fn keep_changing(server: &TestServer, tenant: Tenant, stop: CancellationToken) -> usize {
    let (operator, path) = (server.operator.clone(), format!("/admin/v1/accounts/{}", tenant.id));
    let mut rounds = 0;
    while !stop.is_cancelled() {
        let token = json!({"access_token": format!("EAAGround-{rounds}")});
        operator.patch(&path, &token).await.is(200);
        let key = format!("round-{rounds}");
        let made = subscribe_once(&tenant, &key, "https://example.com/hook").await;
        sends(&tenant).await;
        let path = format!("/v1/webhook_subscriptions/{}", id_of(&made));
        tenant.api.get(&path).await.is(200);
        tenant.api.delete(&path).await.is(204);
        rounds += 1;
    }
    rounds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_rotates_while_it_serves() {
    let room = Room::new().await;
    let mut server = room.server().await;
    let tenant = server.tenant().await;
    let receiver = Receiver::start().await;
    let subscribed = subscribe_once(&tenant, "kept", &receiver.url()).await;
    let signing = text(&subscribed["initial_secret"]);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let first = room.keys();
    let writers = async { keep_changing(&server, tenant.clone(), stop.clone()).await };
    let rotations = async {
        for nth in 1..=3 {
            if !room.owns_keys() {
                let refused = server.operator.post("/admin/v1/secrets/rotate", &json!({})).await;
                refused.refused(409, "secret_key_conflict");
                room.add_key();
            }
            let rotated = rotate(&server).await;
            assert!(rotated["values"].as_u64().unwrap() >= 6, "{rotated}");
            assert_eq!(rotated["older_key_ids"].as_array().unwrap().len(), nth);
            assert_eq!(room.keys().len(), nth + 1);
            assert!(!room.has_older_values().await, "writers write under the new key alone");
        }
        stop.cancel();
    };
    let (rounds, ()) = tokio::join!(writers, rotations);
    assert!(rounds > 0);
    tasks.close();
    assert_eq!(room.keys().last(), first.last());

    room.keep_newest_key();
    server.restart().await;
    sends(&tenant).await;
    tenant.hears(&from(0), "after it all").await;
    assert_eq!(receiver.until(1).await[0].signers(&[&signing]).1, [signing.as_str()]);
    let again = [("Idempotency-Key", "kept")];
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    let replayed = tenant.api.post_with("/v1/webhook_subscriptions", &again, &body).await.is(201);
    assert_eq!(replayed.data(), subscribed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_goes_on_with_the_next() {
    let room = Room::new().await;
    let mut child = room.child().await;
    let operator = child.anyone.with_token(crate::harness::OPERATOR_TOKEN);
    let organisation = json!({"name": "Warung", "tier": "enterprise"});
    let organisation = id_of(&operator.post("/admin/v1/organizations", &organisation).await.is(201).data());
    for nth in 0..150 {
        let account = json!({"phone_number_id": format!("{}", 100_200_300_500_000_u64 + nth), "access_token": "EAAGone",
            "phone_number": format!("+1202556{nth:04}"), "app_secret": ACCOUNT_SECRET});
        operator.post(&format!("/admin/v1/organizations/{organisation}/accounts"), &account).await.is(201);
    }
    for _ in 0..3 {
        if !room.owns_keys() {
            room.add_key();
        }
        let lines = room.keys().len();
        let operator = child.anyone.with_token(crate::harness::OPERATOR_TOKEN);
        let tasks = TaskTracker::new();
        let cut = tasks.spawn(async move {
            let kind = [("Content-Type", "application/json")];
            operator.attempt("POST", "/admin/v1/secrets/rotate", &kind, b"{}".to_vec()).await.is_ok()
        });
        // Somewhere between its first value and its last, if the machine lets it be.
        until(async || room.has_older_values().await || cut.is_finished()).await;
        child.kill().await;
        let _cut = patiently(cut).await;
        child = room.child().await;
        let operator = child.anyone.with_token(crate::harness::OPERATOR_TOKEN);
        if room.has_older_values().await {
            operator.post("/admin/v1/secrets/rotate", &json!({})).await.is(200);
        }
        assert!(!room.has_older_values().await);
        assert!(room.keys().len() <= lines + 1, "the key that was begun with");
    }
    child.kill().await;
    room.keep_newest_key();
    let child = room.child().await;
    assert!(child.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiled_components_are_signed_anew() {
    let room = Room::new().await;
    let mut server = room.server().await;
    let tenant = server.tenant().await;
    let plugin = json!({"name": "hook", "events": ["message.received"]});
    let plugin = id_of(&tenant.api.post("/v1/plugins", &plugin).await.is(201).data());
    let path = |tail: &str| format!("/v1/plugins/{plugin}/{tail}");
    let uploaded = tenant.api.upload(&path("versions"), "application/wasm", Guest::idle().component()).await;
    let version = id_of(&uploaded.is(201).data());
    tenant.api.post(&path("activate"), &json!({"version_id": version})).await.is(200);
    let artefact = room.hooks_folder().join(format!("{version}.artefact"));
    let signature = || std::fs::read(&artefact).unwrap()[..72].to_vec();
    until(async || artefact.exists()).await;
    let before = signature();
    if !room.owns_keys() {
        room.add_key();
    }
    rotate(&server).await;
    until_matches(async || signature(), move |after| *after != before).await;
    room.keep_newest_key();
    // It cannot be compiled again.
    database::run(&room.url, "DELETE FROM plugin_parts").await;
    server.restart().await;
    tenant.hears(&from(0), "hello").await;
    let runs = path("runs");
    let ran = until_matches(
        async || tenant.api.get(&runs).await.is(200).rows(),
        |rows| rows.iter().any(|row| row["status"] == "succeeded"),
    );
    ran.await;
}
