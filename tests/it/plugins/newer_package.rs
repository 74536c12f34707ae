//! A component of `kabar:hooks@1.1.0`, as a compiler built it, on a running server.

use std::path::Path;

use kabar_plugins::HANDLER_V1_1;
use serde_json::json;

use super::tenant_plugins::{Plugin, stage};
use crate::harness::{InboundWebhook, fresh_wamid, from, incoming, text, until_matches};

#[tokio::test]
async fn a_hook_of_the_newer_package_sees_edits_and_user_ids() {
    let (_server, tenant) = stage().await;
    let events = json!(["message.edited", "contact.created"]);
    let plugin = Plugin::make(&tenant, json!({"events": events})).await;
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/examples/built/rust-changes.wasm");
    let version = plugin.upload(std::fs::read(built).unwrap()).await.is(201).data();
    assert_eq!(version["exports"], json!([HANDLER_V1_1]));
    plugin.activate_version(&text(&version["id"])).await;

    let wamid = tenant.hears(&from(0), "two, please").await;
    let conversation = format!("conversations/{}", text(&tenant.conversation_with(&from(0)).await["id"]));
    tenant.patch(&conversation, &json!({"status": "resolved"})).await.is(200);
    let now = tenant.clock.read_now();
    let edited = json!({"type": "text", "text": {"body": "three, please"}});
    let edit = json!({"original_message_id": wamid, "message": edited});
    tenant.receives(&[incoming(&from(0), now, "edit", edit)]).await;
    // By itself an edit opens no conversation: the hook did.
    tenant.when(&conversation, |answer| answer.data()["status"] == "open").await;

    let user_id = "ID.40817263549918273";
    let message = json!({"from_user_id": user_id, "id": fresh_wamid(), "type": "text", "text": {"body": "hi"},
        "timestamp": (now.millis() / 1000).to_string()});
    let card = json!({"user_id": user_id, "profile": {"name": "Rina W.", "username": "rina.w"}});
    let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": tenant.id},
        "contacts": [card], "messages": [message]});
    InboundWebhook::default().value(&value).post(&tenant.api).await.is(200);
    let lines = until_matches(
        async || plugin.get("/logs").await.is(200).rows(),
        |rows| rows.iter().any(|row| row["lines"].to_string().contains("rina.w")),
    )
    .await;
    assert_eq!(lines.len(), 2, "one run for the edit, and one for the contact: {lines:?}");
}
