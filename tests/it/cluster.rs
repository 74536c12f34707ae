//! Several nodes on one PostgreSQL: any of them takes any request, and none gives a stale answer.

mod erasure;
mod forwarding;
pub(crate) mod redis;
mod revocation;
mod rows;
mod stops;
mod suspension;

use serde_json::{Value, json};

use crate::harness::nodes::{heard_of, node, nodes};
use crate::harness::{
    Answer, InboundWebhook, SpanRecorder, Stream, Tenant, TestServer, database, from, patiently, text,
    text_from, until, until_matches,
};

/// What the operator sees of the account at this node; `None` when it is not served there.
async fn resident_at(node: &TestServer, tenant: &Tenant) -> Option<Value> {
    let rows = node.operator.get("/admin/v1/actors").await.is(200).rows();
    rows.into_iter().find(|row| row["phone_number_id"] == tenant.id.as_str())
}

fn same_page(a: &Answer, b: &Answer) {
    assert_eq!((a.rows(), a.etag()), (b.rows(), b.etag()));
}

#[tokio::test]
async fn any_node_takes_any_request_and_one_serves_the_account() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let rows = here.inbox(3).await;
    // What was acknowledged here is seen there at once, and the other way round.
    same_page(&here.get("conversations").await, &there.get("conversations").await);
    let first = format!("conversations/{}", text(&rows[0]["id"]));
    for (nth, (writer, reader)) in [(&here, &there), (&there, &here)].into_iter().enumerate() {
        let status = ["resolved", "open"][nth];
        let patched = writer.patch(&first, &json!({"status": status})).await.is(200).data();
        assert_eq!(reader.get(&first).await.data(), patched);
        same_page(&here.get("conversations").await, &there.get("conversations").await);
    }
    let tag = here.get("conversations").await.etag();
    there.get_if("conversations", &tag).await.is(304);
    assert!(resident_at(&one, &here).await.is_some());
    assert!(resident_at(&two, &here).await.is_none(), "one writer");
    assert_eq!(there.get("conversations?limit=0").await.refused(400, "invalid_limit")["param"], "limit");
    two.anyone.get(&here.path("conversations")).await.refused(401, "missing_api_key");

    // Cursors, idempotency and budgets are those of the node that serves it.
    let page = there.get("conversations?limit=2").await;
    let next = format!("conversations?limit=2&cursor={}", text(&page.json()["next_cursor"]));
    assert_eq!(here.get(&next).await.rows(), there.get(&next).await.rows());
    let key = [("Idempotency-Key", "once")];
    let template = Tenant::template(&from(1));
    let sent = there.api.post_with(&there.path("messages"), &key, &template).await.is(200);
    let again = here.api.post_with(&here.path("messages"), &key, &template).await.is(200);
    assert_eq!((sent.data(), again.header("Idempotent-Replayed")), (again.data(), Some("true")));
}

#[tokio::test]
async fn a_forwarded_request_has_a_span_with_ids_only() {
    let (recorder, _recording) = SpanRecorder::start();
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.inbox(1).await;
    let account = text(&here.api.get("/v1/accounts").await.rows()[0]["id"]);
    there.get("conversations?limit=7").await.is(200);
    let message = text_from(&from(2), two.clock.read_now(), "halo");
    InboundWebhook::default().messages(&here.id, &[message]).post(&two.anyone).await.is(200);

    let spans = recorder.spans_of("forward");
    let told = |field: &str, value: &str| spans.iter().filter(|span| span.field(field) == value).count();
    assert_eq!((told("account", &account), told("accounts", "1")), (1, 1), "{spans:?}");
    for span in &spans {
        assert_eq!(span.field("status"), "200", "{span:?}");
        assert!(span.fields.keys().all(|name| ["node", "account", "accounts", "status"].contains(name)));
        assert!(
            span.field("node").chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_'),
            "{span:?}"
        );
    }
}

#[tokio::test]
async fn a_long_poll_at_one_node_is_answered_by_a_write_at_another() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.inbox(1).await;
    let tag = here.get("conversations").await.etag();
    let headers = [("If-None-Match", tag.as_str()), ("Prefer", "wait=30")];
    let poll = there.get_with("conversations", &headers);
    let write = async {
        until(async || resident_at(&one, &here).await.unwrap()["waiting_polls"] == 1).await;
        here.hears(&from(2), "hello").await;
    };
    let (answer, ()) = tokio::join!(poll, write);
    assert_eq!(answer.is(200).rows().len(), 2);
}

#[tokio::test]
async fn a_webhook_reaches_every_account_whoever_serves_it() {
    let [one, two] = nodes(&[]).await;
    let first = one.tenant().await;
    let second = one.second_account(&first).await;
    heard_of(&two, &first).await;
    first.get("conversations").await.is(200);
    let there = two.here(&second);
    // Until that node knows the number; it is then the one that serves it.
    until_matches(async || there.get("conversations").await, |answer| answer.status == 200).await;
    assert!(resident_at(&one, &second).await.is_none() && resident_at(&two, &second).await.is_some());
    for (nth, node) in [(1, &one), (2, &two)] {
        let message = |author: usize| text_from(&from(author), one.clock.read_now(), "halo");
        let webhook = InboundWebhook::default()
            .messages(&first.id, &[message(10 + nth)])
            .messages(&second.id, &[message(20 + nth)]);
        webhook.post(&node.anyone).await.is(200);
        for tenant in [&first, &second] {
            assert_eq!(tenant.get("conversations").await.rows().len(), nth);
        }
    }
}

#[tokio::test]
async fn a_webhook_for_a_number_connected_a_moment_ago_is_not_lost_at_another_node() {
    let [one, two] = nodes(&[]).await;
    let first = one.tenant().await;
    for nth in 0..5 {
        let fresh = one.second_account(&first).await;
        let message = text_from(&from(nth), one.clock.read_now(), "halo");
        InboundWebhook::default().messages(&fresh.id, &[message]).post(&two.anyone).await.is(200);
        assert_eq!(fresh.get("conversations").await.rows().len(), 1);
    }
    // Whoever knows of no change meanwhile skips what is for nobody.
    let nobody = text_from(&from(0), one.clock.read_now(), "halo");
    InboundWebhook::default().messages("999999999999999", &[nobody]).post(&two.anyone).await.is(200);
}

#[tokio::test]
async fn what_is_made_or_changed_at_one_node_is_there_in_the_next_request_at_another() {
    let [one, two] = nodes(&[]).await;
    let organisation = one.organisation(&json!({"name": "Warung"})).await;
    let path = format!("/admin/v1/organizations/{organisation}");
    two.operator.patch(&path, &json!({"name": "Toko"})).await.is(200);
    one.operator.patch(&path, &json!({"tier": "pro"})).await.is(200);
    let row = two.operator.get(&path).await.is(200).data();
    assert_eq!((&row["name"], &row["tier"]), (&json!("Toko"), &json!("pro")));

    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let subscription = json!({"url": "https://example.com/", "events": ["message.received"]});
    let plugin = json!({"name": "test", "events": ["message.received"]});
    for (root, body, first, second) in [
        ("/v1/webhook_subscriptions", subscription, ("description", "x"), ("status", "paused")),
        ("/v1/plugins", plugin, ("description", "x"), ("name", "other")),
    ] {
        let made = here.api.post(root, &body).await.is(201).data();
        let path = format!("{root}/{}", text(&made["id"]));
        for (tenant, (key, value)) in [(&there, first), (&here, second)] {
            tenant.api.patch(&path, &json!({key: value})).await.is(200);
        }
        let row = there.api.get(&path).await.is(200).data();
        assert_eq!((&row[first.0], &row[second.0]), (&json!(first.1), &json!(second.1)), "{root}");
        there.api.delete(&path).await.is(204);
        here.api.get(&path).await.refused(404, "resource_not_found");
    }
}

/// One of the answers is the first call's, and each other one is a replay of it or, where the call is another
/// one, refused.
fn one_call(answers: &[Answer]) {
    let first = |answer: &&Answer| answer.header("Idempotent-Replayed") == Some("false");
    assert_eq!(answers.iter().filter(first).count(), 1, "{answers:?}");
    let made = answers.iter().find(first).unwrap();
    for answer in answers {
        match answer.header("Idempotent-Replayed") {
            Some(_) => assert_eq!((answer.status, answer.data()), (made.status, made.data())),
            None => drop(answer.refused(422, "idempotency_key_reuse")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_runs_one_call_whichever_nodes_are_asked() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    // A second number of the same tenant, which the other node serves.
    let there = heard_of(&two, &one.second_account(&here).await).await;
    here.inbox(1).await;
    there.inbox(1).await;
    assert!(resident_at(&one, &here).await.is_some() && resident_at(&two, &there).await.is_some());
    let subscription = json!({"url": "https://example.com/", "events": ["message.received"]});
    let plugin = json!({"name": "test", "events": ["message.received"]});
    for round in 0..25 {
        let key = format!("round {round}");
        let headers = [("Idempotency-Key", key.as_str())];
        // On two accounts: two different calls.
        let template = Tenant::template(&from(round));
        let (path, other) = (here.path("messages"), there.path("messages"));
        let (a, b, c) = tokio::join!(
            here.api.post_with(&path, &headers, &template),
            there.api.post_with(&other, &headers, &template),
            there.api.post_with(&path, &headers, &template),
        );
        one_call(&[a, b, c]);
        let sent = here.get("messages?direction=outbound").await.rows().len()
            + there.get("messages?direction=outbound").await.rows().len();
        assert_eq!(sent, round + 1, "one message a round");
        // On paths without an account: the same call at both.
        for (root, body) in [("/v1/webhook_subscriptions", &subscription), ("/v1/plugins", &plugin)] {
            let key = format!("{root} {round}");
            let headers = [("Idempotency-Key", key.as_str())];
            let (a, b) = tokio::join!(
                here.api.post_with(root, &headers, body),
                there.api.post_with(root, &headers, body),
            );
            one_call(&[a.is(201), b.is(201)]);
            let rows = here.api.get(&format!("{root}?limit=100")).await.is(200).rows();
            assert_eq!(rows.len(), round + 1, "one of {root} a round");
        }
    }
}

#[tokio::test]
async fn changes_of_the_directory_reach_every_node() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let keys = format!("/admin/v1/organizations/{}/api_keys", here.organisation);
    let id = text(&one.operator.get(&keys).await.rows()[0]["id"]);
    one.operator.delete(&format!("/admin/v1/api_keys/{id}")).await.is(204);
    here.api.get("/v1/me").await.refused(401, "invalid_api_key");
    until_matches(async || there.api.get("/v1/me").await, |answer| answer.status == 401).await;
    let path = format!("/admin/v1/organizations/{}", here.organisation);
    one.operator.patch(&path, &json!({"name": "Renamed"})).await.is(200);
    until_matches(async || two.operator.get(&path).await.data(), |found| found["name"] == "Renamed").await;
    // Of an account, through the node that serves it.
    let account = format!("/admin/v1/accounts/{}", here.id);
    two.operator.patch(&account, &json!({"status": "disconnected"})).await.is(200);
    let key = one.key(&here.organisation).await;
    let api = one.anyone.with_token(&key);
    until_matches(
        async || api.get("/v1/accounts?status=all").await.rows(),
        |rows| rows[0]["status"] == "disconnected",
    )
    .await;
}

#[tokio::test]
async fn a_node_that_stops_hands_its_accounts_over_at_once() {
    let [mut one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let rows = here.inbox(2).await;
    assert_eq!(there.get("conversations").await.rows().len(), 2);
    one.stop().await;
    let answer = there.get("conversations").await;
    assert_eq!(answer.is(200).rows().len(), rows.len());
    there.hears(&from(9), "still here").await;
    one.start_again().await;
    assert_eq!(here.get("conversations").await.rows().len(), 3);
    assert!(resident_at(&one, &here).await.is_none());
}

#[tokio::test]
async fn a_node_that_lost_its_lease_lets_go_and_serves_nothing_stale() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.inbox(1).await;
    // The others take it for dead.
    database::run(&one.database_url(), "DELETE FROM nodes").await;
    let contact = json!({"phone_number": "+6281200000001"});
    until_matches(async || there.post("contacts", &contact).await, |made| made.status == 201).await;
    // It finds out within a renewal; what it then says is what the other has written.
    until_matches(async || here.get("contacts").await, |page| page.status == 200 && page.rows().len() == 2)
        .await;
    // The other one has lost its lease too, and may find out only now.
    let (mine, theirs) = until_matches(
        async || (here.get("contacts").await, there.get("contacts").await),
        |(mine, theirs)| (mine.status, theirs.status) == (200, 200),
    )
    .await;
    same_page(&mine, &theirs);
}

#[tokio::test]
async fn a_server_alone_keeps_others_off_and_nodes_keep_it_off() {
    let url = database::postgres().await;
    let mut alone = TestServer::shaped(|options| options.set("KABAR_DATABASE_URL", &url)).await;
    let tenant = alone.tenant().await;
    // The second one waits until the first has gone.
    let leave = async {
        tenant.hears(&from(1), "halo").await;
        alone.stop().await;
    };
    let (mut second, ()) = patiently(Box::pin(async { tokio::join!(node(&url, None, &[]), leave) })).await;
    assert_eq!(second.here(&tenant).get("conversations").await.rows().len(), 1);

    // What a node leaves that ends without a word keeps its accounts until its lease ends, no longer.
    second.stop().await;
    let left = "INSERT INTO nodes SELECT id, 'http://127.0.0.1:9', (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 500 \
                FROM (SELECT owner AS id FROM accounts LIMIT 1) dead";
    database::run(&url, left).await;
    alone.start_again().await;
    assert_eq!(tenant.get("conversations").await.rows().len(), 1);
}

#[tokio::test]
async fn a_stream_comes_through_any_node_and_ends_with_either() {
    let [one, mut two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.inbox(1).await;
    let mut stream = Stream::open(&there, "events/stream?after=2", &[]).await;
    assert_eq!(stream.event().await.id, Some(3));
    here.hears(&from(0), "from here").await;
    assert_eq!(stream.event().await.id, Some(4));
    there.hears(&from(0), "from there").await;
    assert_eq!(stream.event().await.id, Some(5));
    // The node in front stops at once, with the stream open.
    two.stop().await;
    assert_eq!(stream.frame().await, None);
    two.start_again().await;
    let there = heard_of(&two, &here).await;
    let mut stream = Stream::open(&there, "events/stream", &[("Last-Event-ID", "5")]).await;
    let mut one = one;
    one.stop().await;
    while stream.frame().await.is_some() {}
    until_matches(async || there.get("events").await, |answer| answer.status == 200).await;
    let mut stream = Stream::open(&there, "events/stream", &[("Last-Event-ID", "5")]).await;
    there.hears(&from(0), "after the move").await;
    assert_eq!(stream.event().await.id, Some(6));
}
