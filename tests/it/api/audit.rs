//! Contract, section 26: the audit log. Every documented operation that changes something leaves an entry, or this
//! module says why it does not.

mod template_walk;

use std::collections::BTreeSet;

use kabar_core::domain::audit::AuditAction;
use serde_json::{Value, json};

use crate::harness::nodes::{heard_of, node, nodes};
use crate::harness::{
    Answer, Client, Receiver, Tenant, TestServer, check_object, database, from, text, until_matches,
    until_some,
};
use crate::plugins::guests::Guest;

const LOG: &str = "/admin/v1/audit";
const TOKENS: &str = "/admin/v1/operator_tokens";
const LOOPBACK: &[(&str, &str)] = &[("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true")];

/// Operations that leave no entry, and why.
const UNAUDITED: [(&str, &str); 6] = [
    ("updateConversation", "conversations have their own log, the events"),
    ("sendMessage", "messages have their own log, the events"),
    ("createContact", "contacts have their own log, the events"),
    ("updateContact", "contacts have their own log, the events"),
    ("testPlugin", "it changes nothing"),
    ("receiveWhatsAppWebhook", "neither a tenant nor an operator calls it"),
];

/// The operations of the document that are no reads.
fn documented_changes() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(include_str!("../../../openapi/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|item| item.as_object().unwrap().iter());
    let changes = operations.filter(|(verb, _)| *verb != "get");
    changes.map(|(_, operation)| text(&operation["operationId"])).collect()
}

/// Carries out operations, and looks for the entry of each.
struct Walk<'a> {
    server: &'a TestServer,
    operator: Client,
    done: BTreeSet<String>,
}

impl Walk<'_> {
    /// Checks that a call was carried out and has left an entry of this kind about this target.
    async fn check(
        &mut self,
        operation: &str,
        action: AuditAction,
        answer: Answer,
        target: Option<&str>,
    ) -> Value {
        assert!(answer.status < 300, "{operation}: {answer:?}");
        let request = answer.header("X-Request-Id").unwrap().to_owned();
        let rows = self.server.operator.get(&format!("{LOG}?limit=5")).await.is(200).rows();
        let of_it: Vec<_> = rows.into_iter().filter(|row| row["request_id"] == request.as_str()).collect();
        assert_eq!(of_it.len(), 1, "{operation} leaves one entry: {of_it:?}");
        let entry = of_it[0].clone();
        check_object(&entry);
        assert_eq!(entry["action"], action.as_str(), "{operation}");
        let kind = if operation_is_operators(operation) { "operator" } else { "api_key" };
        assert_eq!(entry["actor"]["type"], kind, "{operation}");
        assert_eq!(entry["ip"], "127.0.0.1", "{operation}");
        match target {
            Some(id) => assert_eq!(entry["target"]["id"], id, "{operation}"),
            None => assert!(entry["target"]["id"].is_null(), "{operation}"),
        }
        self.done.insert(operation.to_owned());
        entry
    }

    /// A POST or PATCH whose answer is the target.
    async fn makes(&mut self, operation: &str, action: AuditAction, answer: Answer) -> Value {
        let made = answer.data();
        self.check(operation, action, answer, made["id"].as_str()).await;
        made
    }
}

fn operation_is_operators(operation: &str) -> bool {
    let document: Value = serde_json::from_str(include_str!("../../../openapi/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let has = |item: &Value| item.as_object().unwrap().values().any(|one| one["operationId"] == operation);
    paths.into_iter().any(|(path, item)| path.starts_with("/admin/") && has(item))
}

/// Makes a tenant by the operator's operations.
async fn walk_directory(walk: &mut Walk<'_>) -> Tenant {
    let operator = walk.operator.clone();
    let body =
        json!({"name": "O", "tier": "enterprise", "write_per_minute": 100_000, "read_per_minute": 100_000});
    let answer = operator.post("/admin/v1/organizations", &body).await;
    let organisation = walk.makes("createOrganization", AuditAction::OrganizationCreated, answer).await;
    let organisation = text(&organisation["id"]);
    let root = format!("/admin/v1/organizations/{organisation}");
    for (body, action) in [
        (json!({"name": "P"}), AuditAction::OrganizationUpdated),
        (json!({"suspended": true}), AuditAction::OrganizationSuspended),
        (json!({"suspended": false}), AuditAction::OrganizationResumed),
    ] {
        let answer = operator.patch(&root, &body).await;
        walk.check("updateOrganization", action, answer, Some(&organisation)).await;
    }
    let answer = operator.post(&format!("{root}/users"), &json!({"name": "Rani"})).await;
    walk.makes("createUser", AuditAction::UserCreated, answer).await;
    let answer = operator.post(&format!("{root}/api_keys"), &json!({"label": "short"})).await;
    let short = walk.makes("createApiKey", AuditAction::ApiKeyCreated, answer).await;
    let answer = operator.delete(&format!("/admin/v1/api_keys/{}", text(&short["id"]))).await;
    let entry = walk.check("revokeApiKey", AuditAction::ApiKeyRevoked, answer, short["id"].as_str()).await;
    assert_eq!(entry["organization_id"], organisation.as_str());
    let body = json!({"phone_number_id": "987654321", "phone_number": "+6281200000009", "access_token": "first-token"});
    let answer = operator.post(&format!("{root}/accounts"), &body).await;
    let account = walk.makes("connectAccount", AuditAction::AccountConnected, answer).await;
    let (path, id) = ("/admin/v1/accounts/987654321", account["id"].as_str());
    let answer = operator.patch(path, &json!({"messages_per_second": 9})).await;
    walk.check("updateAccount", AuditAction::AccountUpdated, answer, id).await;
    let answer = operator.patch(path, &json!({"access_token": "second-token"})).await;
    walk.check("updateAccount", AuditAction::AccountSecretsSet, answer, id).await;
    let answer = operator.post(&format!("{path}/ingest"), &json!({})).await;
    walk.check("ingestStoredItems", AuditAction::AccountItemsReread, answer, id).await;
    let answer = operator.post("/admin/v1/ingest", &json!({"entry": []})).await;
    walk.check("ingestWebhook", AuditAction::WebhookReread, answer, None).await;
    walk.server.tenant().await
}

/// Everything around the deliveries of webhooks.
async fn walk_webhooks(walk: &mut Walk<'_>, tenant: &Tenant, receiver: &Receiver) {
    let api = &tenant.api;
    let list = "/v1/webhook_subscriptions";
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    let made = walk
        .makes("createWebhookSubscription", AuditAction::SubscriptionCreated, api.post(list, &body).await)
        .await;
    let id = text(&made["id"]);
    let path = format!("{list}/{id}");
    let answer = api.patch(&path, &json!({"description": "x"})).await;
    walk.makes("updateWebhookSubscription", AuditAction::SubscriptionUpdated, answer).await;
    let answer = api.post(&format!("{path}/secrets"), &json!({})).await;
    walk.makes("createWebhookSecret", AuditAction::SigningSecretCreated, answer).await;
    tenant.hears(&from(1), "hello").await;
    receiver.until(1).await;
    let delivered = until_some(|| async {
        api.get("/v1/webhook_deliveries?status=delivered").await.rows().into_iter().next()
    });
    let delivery = text(&delivered.await["id"]);
    let answer = api.post(&format!("/v1/webhook_deliveries/{delivery}/replay"), &json!({})).await;
    walk.makes("replayWebhookDelivery", AuditAction::DeliveryReplayed, answer).await;
    let body = json!({"subscription_id": id});
    let answer = api.post("/v1/webhook_deliveries/bulk_replay", &body).await;
    walk.check("replayWebhookDeliveries", AuditAction::DeliveriesReplayed, answer, Some(&id)).await;
    let body = json!({"phone_number_id": tenant.id, "from_sequence": 0});
    let answer = api.post(&format!("{path}/replay"), &body).await;
    walk.check("replayWebhookEvents", AuditAction::SubscriptionReplayed, answer, Some(&id)).await;
    let answer = api.delete(&path).await;
    walk.check("deleteWebhookSubscription", AuditAction::SubscriptionDeleted, answer, Some(&id)).await;
}

/// The life of a plugin.
async fn walk_plugins(walk: &mut Walk<'_>, tenant: &Tenant) {
    let api = &tenant.api;
    let body = json!({"name": "p", "events": ["message.received"], "secrets": {"TOKEN": "hunter2"}});
    let made =
        walk.makes("createPlugin", AuditAction::PluginCreated, api.post("/v1/plugins", &body).await).await;
    let id = text(&made["id"]);
    let path = format!("/v1/plugins/{id}");
    let answer = api.patch(&path, &json!({"description": "x"})).await;
    walk.makes("updatePlugin", AuditAction::PluginUpdated, answer).await;
    let component = Guest::tells("seen").component();
    let answer = api.upload(&format!("{path}/versions"), "application/wasm", component).await;
    let version = walk.makes("uploadPluginVersion", AuditAction::PluginVersionUploaded, answer).await;
    let version = text(&version["id"]);
    let answer = api.post(&format!("{path}/activate"), &json!({"version_id": version})).await;
    walk.check("activatePluginVersion", AuditAction::PluginVersionActivated, answer, Some(&version)).await;
    tenant.hears(&from(2), "hello").await;
    let runs = format!("{path}/runs?status=succeeded");
    let run = until_some(|| async { api.get(&runs).await.rows().into_iter().next() });
    let run = text(&run.await["id"]);
    let answer = api.post(&format!("{path}/runs/{run}/replay"), &json!({})).await;
    walk.check("replayPluginRun", AuditAction::PluginRunReplayed, answer, Some(&run)).await;
    let body = json!({"from_sequence": 1, "phone_number_id": tenant.id});
    let answer = api.post(&format!("{path}/replay"), &body).await;
    walk.check("replayPlugin", AuditAction::PluginReplayed, answer, Some(&id)).await;
    let answer = walk.operator.post(&format!("/admin/v1/plugins/{id}/disable"), &json!({})).await;
    walk.check("disablePlugin", AuditAction::PluginDisabled, answer, Some(&id)).await;
    let answer = api.delete(&path).await;
    walk.check("deletePlugin", AuditAction::PluginDeleted, answer, Some(&id)).await;
}

/// What is done to a contact beyond its content.
async fn walk_contacts(walk: &mut Walk<'_>, tenant: &Tenant) {
    let contact = text(&tenant.conversation_with(&from(1)).await["contact"]["id"]);
    let path = tenant.path(&format!("contacts/{contact}"));
    let answer = tenant.api.get(&format!("{path}/export")).await;
    walk.check("exportContact", AuditAction::ContactExported, answer, Some(&contact)).await;
    // A read that leaves an entry all the same.
    walk.done.remove("exportContact");
    let answer = tenant.api.delete(&path).await;
    walk.check("deleteContact", AuditAction::ContactDeleted, answer, Some(&contact)).await;
}

/// A rotation of the key of secrets, where the server keeps the file; elsewhere it is refused, and leaves nothing.
async fn walk_rotation(walk: &mut Walk<'_>) {
    let answer = walk.operator.post("/admin/v1/secrets/rotate", &json!({})).await;
    if answer.status == 409 {
        walk.done.insert("rotateSecrets".to_owned());
    } else {
        walk.check("rotateSecrets", AuditAction::SecretsRotated, answer, None).await;
    }
}

/// Carries out every operation that changes something.
async fn walk_everything(server: &TestServer) {
    let receiver = Receiver::start().await;
    let mut walk = Walk { server, operator: server.operator.clone(), done: BTreeSet::new() };
    let body = json!({"name": "Rani", "scopes": ["read", "manage", "secrets"]});
    let answer = server.operator.post(TOKENS, &body).await;
    let made = walk.makes("createOperatorToken", AuditAction::OperatorTokenCreated, answer).await;
    walk.operator = server.anyone.with_token(&text(&made["token"]));
    let tenant = walk_directory(&mut walk).await;
    walk_webhooks(&mut walk, &tenant, &receiver).await;
    walk_plugins(&mut walk, &tenant).await;
    template_walk::walk_templates(&mut walk, &tenant).await;
    walk_contacts(&mut walk, &tenant).await;
    walk_rotation(&mut walk).await;
    let root = format!("/admin/v1/organizations/{}", tenant.organisation);
    let answer = walk.operator.delete(&root).await;
    walk.check("deleteOrganization", AuditAction::OrganizationDeleted, answer, Some(&tenant.organisation))
        .await;
    let answer = server.operator.delete(&format!("{TOKENS}/{}", text(&made["id"]))).await;
    walk.check("revokeOperatorToken", AuditAction::OperatorTokenRevoked, answer, made["id"].as_str()).await;
    let unaudited = UNAUDITED.map(|(operation, _)| operation.to_owned());
    let expected: BTreeSet<_> =
        documented_changes().into_iter().filter(|one| !unaudited.contains(one)).collect();
    assert_eq!(walk.done, expected, "every operation that changes something leaves an entry");
    // Nothing that was set is told, and the names of those who acted are.
    let mut page = server.operator.get(&format!("{LOG}?limit=100")).await;
    let rows = page.rows();
    assert!(rows.iter().any(|row| row["actor"]["name"] == "Rani"));
    for secret in ["first-token", "second-token", "hunter2", "6281200000009", receiver.url().as_str()] {
        assert!(!String::from_utf8_lossy(&page.body).contains(secret), "{secret}");
    }
    page = server.operator.get(&format!("{LOG}?actor_id={}&limit=100", text(&made["id"]))).await;
    assert!(page.rows().iter().all(|row| row["actor"]["name"] == "Rani") && !page.rows().is_empty());
}

#[tokio::test]
async fn every_change_leaves_an_entry() {
    let server = TestServer::shaped(|options| {
        for (variable, value) in LOOPBACK {
            options.set(variable, value);
        }
    });
    walk_everything(&server.await).await;
}

#[tokio::test]
async fn every_change_leaves_an_entry_on_postgresql() {
    walk_everything(&node(&database::postgres().await, None, LOOPBACK).await).await;
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_no_entry() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let before = server.operator.get(&format!("{LOG}?limit=100")).await.rows();
    let unknown = "/admin/v1/api_keys/key_00000000000000000000000000";
    server.operator.delete(unknown).await.refused(404, "resource_not_found");
    let account = format!("/admin/v1/accounts/{}", tenant.id);
    server
        .operator
        .patch(&account, &json!({"messages_per_second": 0}))
        .await
        .refused(400, "invalid_field_value");
    tenant.api.post("/v1/plugins", &json!({})).await.refused(400, "missing_required_field");
    tenant
        .api
        .delete("/v1/webhook_subscriptions/wbs_00000000000000000000000000")
        .await
        .refused(404, "resource_not_found");
    assert_eq!(server.operator.get(&format!("{LOG}?limit=100")).await.rows(), before);
}

#[tokio::test]
async fn a_replayed_answer_leaves_no_second_entry() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = json!({"url": "https://hooks.example.com/x", "events": ["message.received"]});
    for expected in ["false", "true"] {
        let headers = [("Idempotency-Key", "one")];
        let answer = tenant.api.post_with("/v1/webhook_subscriptions", &headers, &body).await.is(201);
        assert_eq!(answer.header("Idempotent-Replayed"), Some(expected));
    }
    let filter = "/v1/audit?action=webhook_subscription.created";
    assert_eq!(tenant.api.get(filter).await.rows().len(), 1);
}

#[tokio::test]
async fn tenants_see_their_own_entries_and_no_operator() {
    let server = TestServer::start().await;
    let (one, two) = (server.tenant().await, server.tenant().await);
    let token = json!({"name": "Rani", "scopes": ["manage"]});
    let token = server.operator.post(TOKENS, &token).await.is(201).data();
    let rani = server.anyone.with_token(&text(&token["token"]));
    rani.patch(&format!("/admin/v1/organizations/{}", one.organisation), &json!({"name": "x"})).await.is(200);
    one.api.post("/v1/plugins", &json!({"name": "p"})).await.is(201);
    let rows = one.api.get("/v1/audit?limit=100").await.is(200).rows();
    assert!(rows.iter().all(|row| row["organization_id"] == one.organisation.as_str()));
    let of = |action: &str| rows.iter().find(|row| row["action"] == action).unwrap().clone();
    let key = one.api.get("/v1/me").await.data()["api_key"].clone();
    let own = of("plugin.created");
    assert_eq!(own["actor"], json!({"type": "api_key", "id": key["id"], "name": key["label"]}));
    assert_eq!(own["ip"], "127.0.0.1");
    let theirs = of("organization.updated");
    assert_eq!(theirs["actor"], json!({"type": "operator", "id": null, "name": null}));
    assert!(theirs["ip"].is_null());
    // Nor by asking for the operator.
    let of_rani = format!("actor_id={}", text(&token["id"]));
    assert!(one.api.get(&format!("/v1/audit?{of_rani}")).await.rows().is_empty());
    let entry = server.operator.get(&format!("{LOG}?{of_rani}")).await.rows().remove(0);
    assert_eq!((&entry["actor"]["name"], &entry["ip"]), (&json!("Rani"), &json!("127.0.0.1")));
    assert!(two.api.get("/v1/audit?action=plugin.created").await.rows().is_empty());
    let blind = json!({"label": "k", "scopes": ["plugins"]});
    let path = format!("/admin/v1/organizations/{}/api_keys", one.organisation);
    let blind = server.operator.post(&path, &blind).await.is(201).data();
    server.anyone.with_token(&text(&blind["key"])).get("/v1/audit").await.refused(403, "insufficient_scope");
}

#[tokio::test]
async fn the_log_is_paged_and_filtered() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    for nth in 0..5 {
        server.clock.advance_manual(std::time::Duration::from_secs(1));
        tenant.api.post("/v1/plugins", &json!({"name": format!("p{nth}")})).await.is(201);
    }
    let all = tenant.api.get("/v1/audit?action=plugin.created").await.rows();
    assert_eq!(all.len(), 5);
    let (mut rows, mut path) = (Vec::new(), "/v1/audit?action=plugin.created&limit=2".to_owned());
    loop {
        let page = tenant.api.get(&path).await.is(200);
        rows.extend(page.rows());
        let Some(cursor) = page.cursor() else { break };
        path = format!("/v1/audit?action=plugin.created&limit=2&cursor={cursor}");
        let other = format!("/v1/audit?limit=2&cursor={cursor}");
        tenant.api.get(&other).await.refused(400, "invalid_cursor");
    }
    assert_eq!(rows, all);
    let (newest, oldest) = (text(&all[0]["created_at"]), text(&all[4]["created_at"]));
    let between = format!("/v1/audit?action=plugin.created&created_after={oldest}&created_before={newest}");
    assert_eq!(tenant.api.get(&between).await.rows(), all[1..4]);
    let of_target = format!("/v1/audit?target_id={}", text(&all[2]["target"]["id"]));
    assert_eq!(tenant.api.get(&of_target).await.rows(), all[2..3]);
    for wrong in ["action=x", "actor_id=x", "target_id=key_1", "limit=0", "created_after=noon"] {
        let answer = tenant.api.get(&format!("/v1/audit?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
    tenant.api.post("/v1/audit", &json!({})).await.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn refused_operator_tokens_are_entered_by_sample() {
    let server = TestServer::manual().await;
    let guesser = server.anyone.with_token("not the operator's token");
    for _ in 0..5 {
        guesser.get(LOG).await.refused(401, "invalid_api_key");
    }
    // A token that lacks a scope is no guess.
    let token =
        server.operator.post(TOKENS, &json!({"name": "x", "scopes": ["manage"]})).await.is(201).data();
    let token = server.anyone.with_token(&text(&token["token"]));
    token.get(LOG).await.refused(403, "insufficient_scope");
    let refused = format!("{LOG}?action=operator_login.refused");
    let rows = server.operator.get(&refused).await.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["actor"], json!({"type": "operator", "id": null, "name": null}));
    assert_eq!((&rows[0]["ip"], &rows[0]["organization_id"]), (&json!("127.0.0.1"), &Value::Null));
    server.clock.advance_manual(std::time::Duration::from_mins(1));
    guesser.get(LOG).await.refused(401, "invalid_api_key");
    assert_eq!(server.operator.get(&refused).await.rows().len(), 2);
}

#[tokio::test]
async fn entries_of_one_node_are_seen_at_the_others_and_last() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let account = format!("/admin/v1/accounts/{}", here.id);
    let at = one.operator.patch(&account, &json!({"messages_per_second": 3})).await.is(200);
    drop(at);
    two.operator.patch(&account, &json!({"messages_per_second": 4})).await.is(200);
    let filter = "/v1/audit?action=account.updated";
    let rows = until_matches(async || there.api.get(filter).await.rows(), |rows| rows.len() == 2).await;
    assert_eq!(here.api.get(filter).await.rows(), rows);
}
