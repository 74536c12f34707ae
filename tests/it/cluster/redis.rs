//! Redis as operators meet it: there, not there, frozen, emptied, full of nonsense, and back.

use serde_json::json;

use crate::harness::redis::Redis;
use crate::harness::{Answer, NOON, Tenant, TestServer, database, from, manual_clock, until, until_matches};

/// A server by the manual clock on this Redis.
async fn server_on(redis: &Redis) -> TestServer {
    TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.set("KABAR_REDIS_URL", &redis.url());
    })
    .await
}

/// What `/readyz` says of Redis; it is always ready.
async fn standing(server: &TestServer) -> String {
    let ready = server.anyone.get("/readyz").await.is(200).data();
    let all = ready["dependencies"].as_array().unwrap();
    assert!(all.contains(&json!({"name": "database", "status": "ok"})), "{ready}");
    let redis = all.iter().find(|one| one["name"] == "redis");
    redis.map_or_else(String::new, |one| one["status"].as_str().unwrap().to_owned())
}

/// Waits until the server sees Redis so.
async fn until_redis_is(server: &TestServer, status: &str) {
    until_matches(async || standing(server).await, |found| found == status).await;
    assert_eq!(server.server().metrics.redis_up.get(), i64::from(status == "ok"));
}

/// An organisation of so many reads a minute.
async fn reader(server: &TestServer, reads: u32) -> Tenant {
    let body = json!({"name": "E", "tier": "enterprise", "write_per_minute": 600, "read_per_minute": reads});
    server.tenant_of(&body).await
}

fn left(answer: &Answer) -> i64 {
    answer.number("X-RateLimit-Remaining")
}

#[tokio::test]
async fn without_redis_nothing_is_said_of_it() {
    let server = TestServer::shaped(|options| options.set("KABAR_REDIS_URL", "")).await;
    assert_eq!(standing(&server).await, "");
}

#[tokio::test]
async fn redis_may_come_later_than_the_server() {
    let mut redis = Redis::absent();
    let server = server_on(&redis).await;
    assert_eq!(standing(&server).await, "away");
    let tenant = reader(&server, 10).await;
    for remaining in [9, 8, 7] {
        assert_eq!(left(&tenant.api.get("/v1/me").await.is(200)), remaining);
    }
    redis.start().await;
    until_redis_is(&server, "ok").await;
    // What was spent without Redis is spent.
    assert_eq!(left(&tenant.api.get("/v1/me").await.is(200)), 6);
    let key = redis.ask(&["KEYS", "kabar:*:budget:*:read"]).await;
    assert!(key.contains(&tenant.organisation), "{key}");
}

#[tokio::test]
async fn redis_may_die_in_the_middle_and_come_back_empty() {
    let mut redis = Redis::running().await;
    let server = server_on(&redis).await;
    until_redis_is(&server, "ok").await;
    let tenant = reader(&server, 20).await;
    let mut expected = 20;
    for round in 0..3 {
        for nth in 0..3 {
            expected -= 1;
            assert_eq!(left(&tenant.api.get("/v1/me").await.is(200)), expected, "round {round}, {nth}");
        }
        match round {
            0 => redis.kill().await,
            1 => {
                until_redis_is(&server, "away").await;
                // Reads and writes go on.
                tenant.hears(&from(1), "hello").await;
                let row = tenant.get("conversations").await.is(200);
                tenant.get_if("conversations", &row.etag()).await.is(304);
                tenant.post("contacts", &json!({"phone_number": "+6281200000009"})).await.is(201);
                expected -= 1;
                redis.start().await;
                until_redis_is(&server, "ok").await;
            }
            _ => {}
        }
    }
    while left(&tenant.api.get("/v1/me").await) > 0 {
        expected -= 1;
    }
    assert_eq!(expected, 1);
    tenant.api.get("/v1/me").await.refused(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn a_frozen_redis_is_waited_for_once() {
    let redis = Redis::running().await;
    let server = server_on(&redis).await;
    until_redis_is(&server, "ok").await;
    let tenant = reader(&server, 1000).await;
    tenant.api.get("/v1/me").await.is(200);
    let metrics = &server.server().metrics;
    redis.freeze().await;
    until_redis_is(&server, "away").await;
    let (visits, failures) = (metrics.budget_refreshes.get(), metrics.redis_failures.get());
    for _ in 0..300 {
        tenant.api.get("/v1/me").await.is(200);
        tenant.get("messages").await.is(200);
    }
    assert_eq!(metrics.budget_refreshes.get(), visits, "nobody asked a Redis that is known to be away");
    assert_eq!(metrics.redis_failures.get(), failures);
    redis.thaw().await;
    until_redis_is(&server, "ok").await;
    let remaining = left(&tenant.api.get("/v1/me").await.is(200));
    assert_eq!(remaining, 1000 - 602, "what the frozen Redis heard late changes nothing");
    for _ in 0..40 {
        tenant.api.get("/v1/me").await.is(200);
    }
    assert!(metrics.budget_refreshes.get() > visits, "it is used again");
}

#[tokio::test]
async fn an_emptied_or_spoilt_redis_harms_nobody() {
    let redis = Redis::running().await;
    let server = server_on(&redis).await;
    until_redis_is(&server, "ok").await;
    let tenant = reader(&server, 200).await;
    tenant.hears(&from(1), "hello").await;
    let mut expected = 200;
    for nth in 0..90 {
        expected -= 1;
        assert_eq!(left(&tenant.get("messages").await.is(200)), expected, "{nth}");
        if nth % 30 == 10 {
            assert_eq!(redis.ask(&["FLUSHALL"]).await.trim(), "OK");
        }
        if nth % 30 == 20 {
            let spoil = "for _, key in ipairs(redis.call('KEYS', 'kabar:*')) do \
                         redis.call('DEL', key) redis.call('LPUSH', key, 'junk') end return 'OK'";
            assert_eq!(redis.ask(&["EVAL", spoil, "0"]).await.trim(), "OK");
        }
    }
    assert_eq!(standing(&server).await, "ok");
}

#[tokio::test]
async fn a_restarted_server_does_not_begin_with_a_full_budget() {
    let redis = Redis::running().await;
    let mut server = server_on(&redis).await;
    until_redis_is(&server, "ok").await;
    let tenant = reader(&server, 50).await;
    for remaining in (30..50).rev() {
        assert_eq!(left(&tenant.api.get("/v1/me").await.is(200)), remaining);
    }
    server.restart().await;
    until_redis_is(&server, "ok").await;
    assert_eq!(left(&tenant.api.get("/v1/me").await.is(200)), 29);
}

#[tokio::test]
async fn nodes_together_keep_to_one_budget() {
    let redis = Redis::running().await;
    let (url, clock) = (database::postgres().await, manual_clock());
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let node = TestServer::shaped(|options| {
            options.node = true;
            options.clock = clock.clone();
            options.set("KABAR_DATABASE_URL", &url);
            options.set("KABAR_REDIS_URL", &redis.url());
        });
        nodes.push(node.await);
    }
    let one = reader(&nodes[0], 30).await;
    let two = nodes[1].here(&one);
    until_redis_is(&nodes[0], "ok").await;
    until_redis_is(&nodes[1], "ok").await;
    // What is not known costs nothing.
    until_matches(async || two.api.get("/v1/me").await, |answer| answer.status != 401).await;
    let mut passed = 1;
    for _ in 0..25 {
        for tenant in [&one, &two] {
            let answer = tenant.api.get("/v1/me").await;
            assert!(matches!(answer.status, 200 | 429), "{answer:?}");
            assert_eq!(answer.number("X-RateLimit-Limit"), 30);
            passed += i64::from(answer.status == 200);
        }
    }
    assert_eq!(passed, 30);
    assert_eq!(one.api.get("/v1/me").await.refused(429, "rate_limit_exceeded")["type"], "rate_limit_error");
    assert_eq!(two.api.get("/v1/me").await.number("X-RateLimit-Reset"), NOON + 60);
}

#[tokio::test]
async fn a_page_read_once_serves_the_next_owner_and_no_change_is_missed() {
    let redis = Redis::running().await;
    let mut server = server_on(&redis).await;
    until_redis_is(&server, "ok").await;
    let tenant = reader(&server, 600).await;
    let wamid = tenant.hears(&from(1), "hello").await;
    let list = tenant.get("messages").await.is(200);
    let one = format!("messages/{}", list.rows()[0]["id"].as_str().unwrap());
    let single = tenant.get(&one).await.is(200);
    let pages = async || redis.ask(&["KEYS", "kabar:*:page:*"]).await;
    until_matches(pages, |keys| keys.trim().lines().count() >= 2).await;
    server.restart().await;
    until_redis_is(&server, "ok").await;
    for (tail, before) in [("messages", &list), (&*one, &single)] {
        let after = tenant.get(tail).await.is(200);
        assert_eq!(
            (after.json()["data"].clone(), after.etag()),
            (before.json()["data"].clone(), before.etag())
        );
        assert_eq!(after.must("Cache-Status"), "kabar; fwd=miss");
        assert!(tenant.get(tail).await.must("Cache-Status").starts_with("kabar; hit"));
        tenant.get_if(tail, &before.etag()).await.is(304);
    }
    let metrics = &server.server().metrics;
    assert_eq!((metrics.shared_page_hits.get(), metrics.page_sql.get()), (2, 0));
    // Whatever changes is seen at once, on pages of every age.
    tenant.learns_that(&wamid, "read").await;
    for nth in 2..5 {
        tenant.hears(&from(nth), "more").await;
        assert_eq!(tenant.get("messages").await.rows().len(), nth);
    }
    assert!(metrics.page_sql.get() >= 3);
}

#[tokio::test]
async fn a_page_lives_eight_seconds_in_all() {
    let redis = Redis::running().await;
    let mut server = server_on(&redis).await;
    until_redis_is(&server, "ok").await;
    let tenant = reader(&server, 600).await;
    tenant.hears(&from(1), "hello").await;
    tenant.get("messages").await.is(200);
    until(async || !redis.ask(&["KEYS", "kabar:*:page:*"]).await.trim().is_empty()).await;
    server.clock.advance_manual(std::time::Duration::from_secs(6));
    server.restart().await;
    until_redis_is(&server, "ok").await;
    tenant.get("messages").await.is(200);
    let hit = tenant.get("messages").await.must("Cache-Status");
    assert!(hit.starts_with("kabar; hit; ttl=") && !hit.ends_with("=8"), "{hit}");
    let ttl: u64 = hit.rsplit('=').next().unwrap().parse().unwrap();
    assert!(ttl <= 2, "it inherits its age: {hit}");
    let metrics = &server.server().metrics;
    assert_eq!((metrics.shared_page_hits.get(), metrics.page_sql.get()), (1, 0));
    server.clock.advance_manual(std::time::Duration::from_secs(2));
    assert_eq!(tenant.get("messages").await.must("Cache-Status"), "kabar; fwd=miss");
    assert_eq!((metrics.shared_page_hits.get(), metrics.page_sql.get()), (1, 1));
}
