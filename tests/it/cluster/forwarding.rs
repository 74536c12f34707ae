//! Contract, section 28: a node believes its like, and no client that sends the same header.

use kabar_core::forward::{BodyLink, FORWARDED, ForwardKeys, ForwardProof, ForwardedHead};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::json;

use crate::harness::nodes::{heard_of, nodes};
use crate::harness::{Answer, InboundWebhook, Tenant, TestServer, from, text_from, until};

/// Two nodes, and a tenant with an account that the first one serves.
async fn stage() -> ([TestServer; 2], Tenant, Tenant) {
    stage_of(&[]).await
}

/// The same, with these settings.
async fn stage_of(settings: &[(&str, &str)]) -> ([TestServer; 2], Tenant, Tenant) {
    let [one, two] = nodes(settings).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.inbox(1).await;
    ([one, two], here, there)
}

/// A proof for a request to this node, as another node makes it now.
fn proof_for(node: &TestServer, tenant: &Tenant, body: &[u8]) -> ForwardProof {
    let accounts = &node.server().accounts;
    ForwardProof {
        from: accounts.node_id(),
        to: accounts.node_id(),
        at_ms: accounts.cluster_now_ms(),
        client: None,
        accounts: tenant.id.clone(),
        body: BodyLink::of_body(body),
    }
}

/// Sends a request as a node forwards it.
async fn forward(node: &TestServer, tenant: &Tenant, keys: &ForwardKeys, proof: &ForwardProof) -> Answer {
    let headers: HeaderMap =
        [(AUTHORIZATION, format!("Bearer {}", tenant.key).parse().unwrap())].into_iter().collect();
    let target = tenant.path("conversations");
    let head = ForwardedHead { method: &Method::GET, target: &target, headers: &headers };
    let header = keys.make_header(proof, head);
    node.here(tenant).get_with("conversations", &[(FORWARDED.as_str(), header.to_str().unwrap())]).await
}

#[tokio::test]
async fn only_the_proof_of_a_node_for_this_node_and_about_now_counts() {
    let ([one, _two], here, _there) = stage().await;
    let keys = ForwardKeys::new(one.server().store.secrets().forward_key, Vec::new());
    let proof = proof_for(&one, &here, b"");
    let forwarded = forward(&one, &here, &keys, &proof).await.is(200);
    assert_eq!(forwarded.header("X-RateLimit-Limit"), None, "the node that forwards has taken the budget");
    // A copy that comes late, and one for another node, are carried out by none.
    let late = ForwardProof { at_ms: proof.at_ms - 60_000, ..proof.clone() };
    assert_eq!(forward(&one, &here, &keys, &late).await.status, 421);
    let other = ForwardProof { to: kabar_core::ids::NodeId::from_bits(7), ..proof.clone() };
    assert_eq!(forward(&one, &here, &keys, &other).await.status, 421);
    // A stranger's is a client's request.
    let refused = one.metric("kabar_forwarded_header_refused_total").await;
    let stranger = forward(&one, &here, &ForwardKeys::new([7; 32], Vec::new()), &proof).await.is(200);
    assert!(stranger.header("X-RateLimit-Limit").is_some());
    assert_eq!(one.metric("kabar_forwarded_header_refused_total").await, refused + 1);
}

#[tokio::test]
async fn a_header_of_a_client_changes_nothing_at_any_node() {
    let ([one, two], here, there) = stage().await;
    for value in ["1", "", &here.id, "node_0 node_0 0 - 1 signed 00"] {
        for tenant in [&here, &there] {
            let answer = tenant.get_with("conversations", &[(FORWARDED.as_str(), value)]).await.is(200);
            assert_eq!(answer.rows().len(), 1, "{value}");
            assert!(answer.header("X-RateLimit-Limit").is_some(), "{value}");
        }
    }
    for node in [&one, &two] {
        let unknown = node.anyone.with_token("kdv_live_AAAAAAAAAAAAAAAAAAAAAAAA");
        let path = here.path("conversations");
        unknown.get_with(&path, &[(FORWARDED.as_str(), "1")]).await.refused(401, "invalid_api_key");
    }
}

#[tokio::test]
async fn a_signed_webhook_with_the_header_is_taken_in_whole() {
    let ([one, two], here, _there) = stage().await;
    for (nth, node) in [&one, &two].into_iter().enumerate() {
        for (place, value) in ["1", "", "999999", &here.id].into_iter().enumerate() {
            let author = from(10 + nth * 10 + place);
            let webhook = InboundWebhook::default()
                .messages(&here.id, &[text_from(&author, one.clock.read_now(), "not lost")]);
            webhook.post_with(&node.anyone, &[(FORWARDED.as_str(), value)]).await.is(200);
            here.conversation_with(&author).await;
        }
    }
}

#[tokio::test]
async fn a_request_for_an_account_elsewhere_costs_the_budget_of_its_key_once() {
    // Without Redis: there a node leases tokens of the common budget, and what is left depends on the other's lease.
    let ([_one, two], here, there) = stage_of(&[("KABAR_REDIS_URL", "")]).await;
    let page = here.get("conversations").await;
    let path = format!("/admin/v1/organizations/{}", here.organisation);
    // A node has its share of a budget, once it knows of the others. A token comes back in half a minute.
    until(async || two.metric("kabar_nodes").await == 2).await;
    let budgets = json!({"tier": "enterprise", "read_per_minute": 4, "write_per_minute": 1});
    two.operator.patch(&path, &budgets).await.is(200);
    let remaining = |answer: &Answer| answer.number("X-RateLimit-Remaining");
    assert_eq!(remaining(&there.get("conversations").await.is(200)), 1);
    // A 304 costs nothing, whichever node answers it.
    assert_eq!(remaining(&there.get_if("conversations", &page.etag()).await.is(304)), 1);
    let refused = there.get("conversations?limit=0").await;
    refused.refused(400, "invalid_limit");
    assert_eq!(remaining(&refused), 0);
    let forwarded = two.metric("kabar_forwarded_requests_total").await;
    there.get("conversations").await.refused(429, "rate_limit_exceeded");
    assert_eq!(two.metric("kabar_forwarded_requests_total").await, forwarded, "not even asked");
}

#[tokio::test]
async fn a_key_that_nobody_has_is_refused_before_it_is_forwarded() {
    let ([_one, two], here, _there) = stage().await;
    let forwarded = two.metric("kabar_forwarded_requests_total").await;
    let unknown = two.anyone.with_token("kdv_live_AAAAAAAAAAAAAAAAAAAAAAAA");
    unknown.get(&here.path("conversations")).await.refused(401, "invalid_api_key");
    assert_eq!(two.metric("kabar_forwarded_requests_total").await, forwarded);
}

#[tokio::test]
async fn connection_names_no_header_that_nodes_add() {
    let ([_one, two], here, _there) = stage().await;
    for named in ["X-Kabar-Forwarded", "x-kabar-forwarded, keep-alive", "close, Idempotency-Key"] {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\nConnection: {named}\r\n\
             X-Kabar-Forwarded: 1\r\nAuthorization: Bearer {}\r\n\r\n",
            here.path("conversations"),
            here.key,
        );
        let answer = two.raw().say(request.as_bytes()).await.is(200);
        assert!(answer.header("X-RateLimit-Limit").is_some(), "{named}");
    }
}
