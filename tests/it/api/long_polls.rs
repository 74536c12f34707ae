//! Contract, section 4, "Long poll": held until something changes, and not a moment longer.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::harness::{Answer, Tenant, TestServer, from, patiently, text, until_matches};

/// Returns once so many polls wait.
#[track_caller]
fn waiting(server: &TestServer, polls: i64) -> impl Future<Output = i64> {
    let count_polls = async move || {
        let actors = server.operator.get("/admin/v1/actors").await;
        let rows = actors.json()["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["waiting_polls"].as_i64().unwrap()).sum()
    };
    until_matches(count_polls, move |count| *count == polls)
}

async fn poll(tenant: &Tenant, tail: &str, tag: &str, seconds: u64) -> Answer {
    let prefer = format!("wait={seconds}");
    tenant.get_with(tail, &[("If-None-Match", tag), ("Prefer", &prefer)]).await
}

#[tokio::test]
async fn a_poll_is_answered_by_the_change_it_waits_for() {
    // The manual clock stands, so that no deadline can answer.
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    let message = text(&tenant.sent(&from(1)).await["id"]);
    let wamid = text(&tenant.message(&message).await["message_id"]);
    let conversation = format!("conversations/{}", text(&tenant.conversation_with(&from(1)).await["id"]));
    let one = format!("messages/{message}");
    for tail in ["conversations", "conversations?status=open", "messages", &one] {
        let page = tenant.get(tail).await;
        let tag = page.etag();
        let change = async {
            waiting(&server, 1).await;
            match tail {
                "conversations" => tenant.patch(&conversation, &json!({"status": "pending"})).await.is(200),
                "conversations?status=open" => {
                    tenant.patch(&conversation, &json!({"status": "open"})).await.is(200)
                }
                "messages" => tenant.get("messages").await.is(200),
                _ => tenant.get("contacts").await.is(200),
            };
            match tail {
                "messages" => drop(tenant.hears(&from(0), "news").await),
                other if other == one => tenant.learns_that(&wamid, "delivered").await,
                _ => {}
            }
        };
        let (answer, ()) = tokio::join!(poll(&tenant, tail, &tag, 30), change);
        assert_eq!(answer.is(200).must("Preference-Applied"), "wait=30", "{tail}");
    }
    let page = tenant.get("contacts").await;
    let change = async {
        waiting(&server, 1).await;
        tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201)
    };
    let tag = page.etag();
    let (answer, _) = tokio::join!(poll(&tenant, "contacts", &tag, 60), change);
    assert_eq!(answer.is(200).rows().len(), page.rows().len() + 1);
}

#[tokio::test]
async fn a_poll_with_updated_since_is_answered_by_the_first_news() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    let newest = text(&tenant.get("conversations").await.rows()[0]["updated_at"]);
    let tail = format!("conversations?updated_since={newest}");
    let path = tenant.path(&tail);
    let asked = tenant.api.get_with(&path, &[("Prefer", "wait=30")]);
    let change = async {
        waiting(&server, 1).await;
        tenant.hears(&from(1), "news").await
    };
    let (answer, _) = tokio::join!(asked, change);
    assert_eq!(answer.must("Preference-Applied"), "wait=30");
    let rows = answer.rows();
    assert_eq!((rows.len(), &rows[0]["unread_count"]), (1, &json!(2)));
    // With news already there it is answered at once.
    let again = tenant.api.get_with(&path, &[("Prefer", "wait=30")]).await;
    assert_eq!(again.rows(), rows);
}

#[tokio::test]
async fn a_change_that_does_not_show_does_not_answer() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(3).await;
    let list = "conversations?status=resolved";
    let tag = tenant.get(list).await.etag();
    let path = |nth: usize| format!("conversations/{}", text(&rows[nth]["id"]));
    let changes = async {
        waiting(&server, 1).await;
        tenant.patch(&path(0), &json!({"status": "pending"})).await.is(200);
        tenant.hears(&from(1), "news").await;
        waiting(&server, 1).await;
        tenant.patch(&path(2), &json!({"status": "resolved"})).await.is(200);
    };
    let (answer, ()) = tokio::join!(poll(&tenant, list, &tag, 30), changes);
    assert_eq!(answer.column("id"), [rows[2]["id"].clone()]);
}

#[tokio::test]
async fn at_the_deadline_nothing_new_is_304_or_an_empty_page() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let tag = tenant.get("conversations").await.etag();
    let since = tenant.path("conversations?updated_since=2999-01-01T00:00:00Z");
    let asked = tenant.api.get_with(&since, &[("Prefer", "wait=5")]);
    let time_passes = async {
        waiting(&server, 2).await;
        server.clock.advance_manual(Duration::from_millis(4_900));
        waiting(&server, 2).await;
        server.clock.advance_manual(Duration::from_millis(100));
    };
    let (unchanged, empty, ()) = tokio::join!(poll(&tenant, "conversations", &tag, 5), asked, time_passes);
    assert_eq!(unchanged.is(304).must("Preference-Applied"), "wait=5");
    assert_eq!(empty.must("Preference-Applied"), "wait=5");
    assert!(empty.is(200).rows().is_empty());
    waiting(&server, 0).await;
}

#[tokio::test]
async fn without_a_matching_tag_the_answer_comes_at_once() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let stale = poll(&tenant, "conversations", "W/\"old\"", 60).await;
    assert_eq!(stale.is(200).rows().len(), 1);
    let untagged = tenant.get_with("conversations", &[("Prefer", "wait=60")]).await;
    assert_eq!(untagged.is(200).rows().len(), 1);
    // `updated_since` with a tag that does not match the empty page: that page is news.
    let tail = "conversations?updated_since=2020-01-01T00:00:00Z";
    assert_eq!(poll(&tenant, tail, "\"old\"", 60).await.is(200).rows().len(), 1);
}

#[tokio::test]
async fn waits_of_no_documented_form_do_not_wait() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let tag = tenant.get("conversations").await.etag();
    for prefer in
        ["wait=0", "wait=", "wait", "wait=x", "wait=-1", "respond-async", "", "wait=99999999999999999999"]
    {
        let answer = tenant.get_with("conversations", &[("If-None-Match", &tag), ("Prefer", prefer)]).await;
        assert!(matches!(answer.status, 304 | 400), "{prefer}: {answer:?}");
    }
}

#[tokio::test]
async fn preferences_have_lists_parameters_and_any_case() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let tag = tenant.get("conversations").await.etag();
    for prefer in ["wait=7", "respond-async, wait=7", "WAIT=7", "wait=\"7\"", "wait = 7", "wait=7; x=1, foo"]
    {
        let headers = [("If-None-Match", &*tag), ("Prefer", prefer)];
        let path = tenant.path("conversations");
        let asked = tenant.api.get_with(&path, &headers);
        let time_passes = async {
            waiting(&server, 1).await;
            server.clock.advance_manual(Duration::from_secs(7));
        };
        let (answer, ()) = tokio::join!(asked, time_passes);
        assert_eq!(answer.is(304).must("Preference-Applied"), "wait=7", "{prefer}");
    }
}

#[tokio::test]
async fn many_polls_wait_and_all_are_answered() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let tag = tenant.get("conversations").await.etag();
    let mut polls = JoinSet::new();
    for _ in 0..40 {
        let (tenant, tag) = (tenant.clone(), tag.clone());
        polls.spawn(async move { poll(&tenant, "conversations", &tag, 60).await });
    }
    waiting(&server, 40).await;
    tenant.hears(&from(0), "news").await;
    let answers = patiently(polls.join_all()).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(answers.iter().all(|answer| answer.rows() == answers[0].rows()));
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_its_place() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let tag = tenant.get("conversations").await.etag();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: kabar\r\nAuthorization: Bearer {}\r\nIf-None-Match: {tag}\r\nPrefer: wait=60\r\n\r\n",
        tenant.path("conversations"),
        tenant.key,
    );
    let mut calls = Vec::new();
    for _ in 0..5 {
        let mut stream = server.raw().connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        calls.push(stream);
    }
    waiting(&server, 5).await;
    drop(calls);
    waiting(&server, 0).await;
    tenant.hears(&from(0), "news").await;
    assert_eq!(tenant.get("conversations").await.rows().len(), 1);
}

#[tokio::test]
async fn beyond_the_places_there_are_a_poll_does_not_wait() {
    let server = TestServer::shaped(|options| {
        options.clock = crate::harness::manual_clock();
        options.set("KABAR_LIMITS__WAITING_POLLS", "1");
    })
    .await;
    let tenant = server.tenant().await;
    let tag = tenant.get("conversations").await.etag();
    let second = async {
        waiting(&server, 1).await;
        let answer = poll(&tenant, "conversations", &tag, 60).await.is(304);
        assert_eq!(answer.must("Retry-After"), "5");
        assert_eq!(answer.header("Preference-Applied"), None);
        tenant.hears(&from(0), "news").await
    };
    let (first, _) = tokio::join!(poll(&tenant, "conversations", &tag, 60), second);
    assert_eq!(first.is(200).rows().len(), 1);
}

#[tokio::test]
async fn a_tenant_with_all_held_polls_leaves_the_others_theirs() {
    let server = TestServer::shaped(|options| {
        options.clock = crate::harness::manual_clock();
        options.set("KABAR_LIMITS__WAITING_POLLS", "4");
    })
    .await;
    let (loud, quiet) = (server.tenant().await, server.tenant().await);
    let hold = |tenant: &Tenant, polls: &mut JoinSet<Answer>, tag: &str| {
        let (tenant, tag) = (tenant.clone(), tag.to_owned());
        polls.spawn(async move { poll(&tenant, "conversations", &tag, 60).await });
    };
    let (loud_tag, quiet_tag) =
        (loud.get("conversations").await.etag(), quiet.get("conversations").await.etag());
    let (mut of_loud, mut of_quiet) = (JoinSet::new(), JoinSet::new());
    (0..4).for_each(|_| hold(&loud, &mut of_loud, &loud_tag));
    until_matches(async || server.metric("kabar_waiting_polls").await, |held| *held == 4).await;
    assert_eq!(poll(&loud, "conversations", &loud_tag, 3).await.is(304).must("Retry-After"), "3");
    // Each of the quiet tenant's takes the place of the loud tenant's oldest.
    for _ in 0..2 {
        hold(&quiet, &mut of_quiet, &quiet_tag);
        let cut_short = of_loud.join_next().await.unwrap().unwrap().is(304);
        assert_eq!(cut_short.must("Retry-After"), "5");
        assert_eq!(cut_short.header("Preference-Applied"), None);
    }
    until_matches(async || server.metric("kabar_waiting_polls").await, |held| *held == 4).await;
    // Both have two now, and neither takes more from the other.
    for (tenant, tag) in [(&loud, &loud_tag), (&quiet, &quiet_tag)] {
        poll(tenant, "conversations", tag, 60).await.is(304).must("Retry-After");
    }
    assert_eq!(server.metric("kabar_shared_revoked_total{bound=\"held_polls\"}").await, 2);
    quiet.hears(&from(0), "news").await;
    while let Some(answer) = of_quiet.join_next().await {
        assert_eq!(answer.unwrap().is(200).must("Preference-Applied"), "wait=60");
    }
    loud.hears(&from(0), "news").await;
    while let Some(answer) = of_loud.join_next().await {
        answer.unwrap().is(200);
    }
}

#[tokio::test]
async fn polls_that_wait_are_answered_when_the_server_stops() {
    let mut server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let tag = tenant.get("conversations").await.etag();
    let mut polls = JoinSet::new();
    let (asker, asked) = (tenant.clone(), tag.clone());
    polls.spawn(async move { poll(&asker, "conversations", &asked, 60).await });
    waiting(&server, 1).await;
    server.stop().await;
    polls.join_next().await.unwrap().unwrap().is(304);
}
