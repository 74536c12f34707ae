//! Contract, section 28: what was held for a key ends with the key, at every node.

use serde_json::{Value, json};

use crate::harness::nodes::{heard_of, nodes, until_known};
use crate::harness::{Stream, Tenant, TestServer, from, text, until};

/// A further key of the tenant, met at each of these nodes; and its id.
async fn other_key(nodes: [&TestServer; 2], tenant: &Tenant) -> (String, [Tenant; 2]) {
    let path = format!("/admin/v1/organizations/{}/api_keys", tenant.organisation);
    let made = nodes[0].operator.post(&path, &json!({"label": "short"})).await.is(201).data();
    let met = nodes.map(|node| {
        let key = text(&made["key"]);
        Tenant { api: node.anyone.with_token(&key), key, ..tenant.clone() }
    });
    for tenant in &met {
        crate::harness::until_matches(async || tenant.api.get("/v1/me").await, |answer| answer.status == 200)
            .await;
    }
    (text(&made["id"]), met)
}

async fn waiting(node: &TestServer, tenant: &Tenant, polls: i64) {
    until(async || {
        let rows = node.operator.get("/admin/v1/actors").await.is(200).rows();
        let row = rows.into_iter().find(|row| row["phone_number_id"] == tenant.id.as_str());
        row.is_some_and(|row: Value| row["waiting_polls"] == polls)
    })
    .await;
}

#[tokio::test]
async fn a_held_poll_of_a_revoked_key_ends_with_401_whichever_node_holds_it() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    heard_of(&two, &here).await;
    here.inbox(1).await;
    let tag = here.get("conversations").await.etag();
    let headers = [("If-None-Match", tag.as_str()), ("Prefer", "wait=60")];
    // Revoked at the node that serves the account, and at the other one.
    for revoker in [&one, &two] {
        let (id, [at_one, at_two]) = other_key([&one, &two], &here).await;
        let polls = async {
            tokio::join!(
                at_one.get_with("conversations", &headers),
                at_two.get_with("conversations", &headers)
            )
        };
        let revoke = async {
            waiting(&one, &here, 2).await;
            revoker.operator.delete(&format!("/admin/v1/api_keys/{id}")).await.is(204);
        };
        let ((first, second), ()) = tokio::join!(polls, revoke);
        first.refused(401, "invalid_api_key");
        second.refused(401, "invalid_api_key");
    }
}

#[tokio::test]
async fn a_stream_of_a_revoked_key_ends_whichever_node_sends_it() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    heard_of(&two, &here).await;
    here.inbox(1).await;
    let (id, met) = other_key([&one, &two], &here).await;
    let mut streams = Vec::new();
    for tenant in &met {
        let mut stream = Stream::open(tenant, "events/stream?after=3", &[]).await;
        assert!(stream.frame().await.unwrap().retry.is_some());
        streams.push(stream);
    }
    two.operator.delete(&format!("/admin/v1/api_keys/{id}")).await.is(204);
    for stream in &mut streams {
        assert_eq!(stream.frame().await, None);
    }
    // The tenant's other keys go on.
    let mut kept = Stream::open(&here, "events/stream?after=3", &[]).await;
    here.hears(&from(0), "news").await;
    assert_eq!(kept.event().await.id, Some(4));
}

#[tokio::test]
async fn what_is_suspended_at_one_node_stands_still_at_the_other_and_goes_on_there() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.inbox(1).await;
    let path = format!("/admin/v1/organizations/{}", here.organisation);
    let tag = here.get("conversations").await.etag();
    let headers = [("If-None-Match", tag.as_str()), ("Prefer", "wait=60")];
    let suspend = async {
        waiting(&one, &here, 1).await;
        two.operator.patch(&path, &json!({"suspended": true})).await.is(200);
    };
    let (held, ()) = tokio::join!(here.get_with("conversations", &headers), suspend);
    held.refused(403, "organization_suspended");
    here.hears(&from(1), "taken in all the same").await;
    two.operator.patch(&path, &json!({"suspended": false})).await.is(200);
    until_known(&here, &here.path("conversations")).await;
    assert_eq!(there.get("conversations").await.is(200).rows().len(), 2);
}
