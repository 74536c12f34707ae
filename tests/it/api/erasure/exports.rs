//! The export of a contact: everything, once, and nothing of others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{correspond, log};
use crate::harness::{TestServer, from, keys_of, text};

#[tokio::test]
async fn an_export_has_all_that_there_is_of_a_contact() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let other = correspond(&tenant, &from(1), "other", 3).await;
    let mine = correspond(&tenant, &from(2), "mine", 120).await;
    let answer = tenant.get(&format!("contacts/{}/export", mine.contact)).await;
    let export = answer.data();
    assert_eq!(
        keys_of(&export),
        ["contact", "conversation", "events", "merged_contacts", "messages", "object"].into()
    );
    assert_eq!((&export["object"], &export["merged_contacts"]), (&json!("contact_export"), &json!([])));
    assert_eq!(export["contact"], tenant.get(&format!("contacts/{}", mine.contact)).await.data());
    let conversation = tenant.get(&format!("conversations/{}", text(&export["conversation"]["id"]))).await;
    assert_eq!(export["conversation"], conversation.data());
    let listed = tenant.all(&format!("messages?conversation_id={}", text(&conversation.data()["id"]))).await;
    let exported = export["messages"].as_array().unwrap();
    assert_eq!(exported.iter().map(|one| one["message"].clone()).collect::<Vec<_>>(), listed);
    for one in exported {
        let path = format!("messages/{}/raw", text(&one["message"]["id"]));
        assert_eq!(one["raw"], tenant.get(&path).await.data());
    }
    // Every event of the log is exported with the one that it is about.
    let of = |export: &Value| -> BTreeSet<String> {
        let messages = export["messages"].as_array().unwrap().iter();
        let events = messages.flat_map(|one| one["events"].as_array().unwrap());
        events.chain(export["events"].as_array().unwrap()).map(|event| text(&event["id"])).collect()
    };
    let theirs = tenant.get(&format!("contacts/{}/export", other.contact)).await.data();
    let (mine, theirs) = (of(&export), of(&theirs));
    assert!(mine.is_disjoint(&theirs));
    let all: BTreeSet<String> = log(&tenant)
        .await
        .iter()
        .filter(|event| !text(&event["type"]).starts_with("whatsapp."))
        .map(|event| text(&event["id"]))
        .collect();
    assert_eq!(&mine | &theirs, all);
}

#[tokio::test]
async fn an_export_costs_a_read_and_needs_a_contact() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let contact = text(&tenant.conversation_with(&from(1)).await["contact"]["id"]);
    let before = tenant.get("contacts").await.number("X-RateLimit-Remaining");
    let path = format!("contacts/{contact}/export");
    assert_eq!(tenant.get(&path).await.is(200).number("X-RateLimit-Remaining"), before - 1);
    let unknown = "contacts/ctc_0000000000000000000000000A/export";
    tenant.get(unknown).await.refused(404, "resource_not_found");
    let other = server.tenant().await;
    other.get(&path).await.refused(404, "resource_not_found");
    let head = tenant.api.head(&tenant.path(&path)).await.is(200);
    assert!(head.body.is_empty());
}
