//! Contract, section 14, `created_by`: what a key has made names the key, also after it is gone.

use serde_json::{Value, json};

use crate::harness::{TestServer, text};
use crate::plugins::guests::Guest;

#[tokio::test]
async fn what_was_made_names_its_maker_also_when_the_key_is_gone() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    let keys = format!("/admin/v1/organizations/{}/api_keys", tenant.organisation);
    let made = server.operator.post(&keys, &json!({"label": "leaked \"key\" é"})).await.is(201).data();
    assert_eq!(made["created_by"], json!({"type": "operator", "id": null, "name": null}));
    assert_eq!(server.operator.get(&keys).await.rows()[0]["created_by"], made["created_by"]);

    let leaked = server.anyone.with_token(&text(&made["key"]));
    let maker = json!({"type": "api_key", "id": made["id"], "name": "leaked \"key\" é"});
    let body = json!({"url": "https://example.com/", "events": ["message.received"]});
    let subscription = leaked.post("/v1/webhook_subscriptions", &body).await.is(201).data();
    let subscription_path = format!("/v1/webhook_subscriptions/{}", text(&subscription["id"]));
    let plugin = leaked.post("/v1/plugins", &json!({"name": "p"})).await.is(201).data();
    let plugin_path = format!("/v1/plugins/{}", text(&plugin["id"]));
    let component = Guest::sends("{}").component();
    let versions = format!("{plugin_path}/versions");
    let version = leaked.upload(&versions, "application/wasm", component).await.is(201).data();
    for row in [&subscription, &subscription["secrets"][0], &plugin, &version] {
        assert_eq!(row["created_by"], maker, "{row}");
    }
    server.operator.delete(&format!("/admin/v1/api_keys/{}", text(&made["id"]))).await.is(204);

    // Another key's changes leave it, and so does a restart.
    let secrets = format!("{subscription_path}/secrets");
    let own: Value = tenant.api.post(&secrets, &json!({})).await.is(201).data()["created_by"].clone();
    assert_eq!((&own["type"], &own["name"]), (&json!("api_key"), &json!("test")));
    tenant.api.patch(&subscription_path, &json!({"description": "ours"})).await.is(200);
    tenant.api.patch(&plugin_path, &json!({"description": "ours"})).await.is(200);
    server.restart().await;
    let subscription = tenant.api.get(&subscription_path).await.data();
    let secrets: Vec<_> =
        subscription["secrets"].as_array().unwrap().iter().map(|secret| &secret["created_by"]).collect();
    assert_eq!((&subscription["created_by"], secrets), (&maker, vec![&maker, &own]));
    assert_eq!(tenant.api.get(&plugin_path).await.data()["created_by"], maker);
    assert_eq!(tenant.api.get(&versions).await.rows()[0]["created_by"], maker);
}
