//! Ends and bounds of streams: stop, revocation, too many, and clients that do not read.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::streaming;
use crate::harness::{
    Stream, TestServer, from, manual_clock, patiently, text, text_from, until_advancing, until_matches,
};

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let mut server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let mut stream = Stream::open(&tenant, "events/stream", &[]).await;
    stream.events(3).await;
    streaming(&server, 1).await;
    server.stop().await;
    assert_eq!(stream.frame().await, None);
    server.start_again().await;
    let mut stream = Stream::open(&tenant, "events/stream", &[("Last-Event-ID", "3")]).await;
    tenant.hears(&from(0), "after the start").await;
    assert_eq!(stream.event().await.id, Some(4));
}

#[tokio::test]
async fn a_revoked_key_hears_nothing_more() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let keys = format!("/admin/v1/organizations/{}/api_keys", tenant.organisation);
    let made = server.operator.post(&keys, &json!({"label": "short"})).await.is(201).data();
    let mut other = tenant.clone();
    other.api = server.anyone.with_token(&text(&made["key"]));
    let mut silent = Stream::open(&other, "events/stream?after=3", &[]).await;
    let mut woken = Stream::open(&other, "events/stream?after=3", &[]).await;
    let mut kept = Stream::open(&tenant, "events/stream?after=3", &[]).await;
    for stream in [&mut silent, &mut woken, &mut kept] {
        assert!(stream.frame().await.unwrap().retry.is_some());
    }
    streaming(&server, 3).await;
    server.operator.delete(&format!("/admin/v1/api_keys/{}", text(&made["id"]))).await.is(204);
    tenant.hears(&from(0), "not for everybody").await;
    assert_eq!(kept.event().await.id, Some(4));
    assert_eq!(woken.frame().await, None);
    assert_eq!(silent.frame().await, None);
    // In silence, too.
    let suspended = json!({"suspended": true});
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    streaming(&server, 1).await;
    server.operator.patch(&path, &suspended).await.is(200);
    assert_eq!(kept.frame().await, None);
}

#[tokio::test]
async fn streams_are_counted_for_each_tenant_and_for_all() {
    let server = TestServer::shaped(|options| {
        options.set("KABAR_LIMITS__EVENT_STREAMS", "3");
        options.set("KABAR_LIMITS__EVENT_STREAMS_PER_ORGANIZATION", "2");
    })
    .await;
    let [first, second, third] = [server.tenant().await, server.tenant().await, server.tenant().await];
    let mut one = Stream::open(&first, "events/stream", &[]).await;
    let mut two = Stream::open(&first, "events/stream", &[]).await;
    first.get("events/stream").await.refused(503, "overloaded");
    first.get("events").await.is(200);
    let three = Stream::open(&second, "events/stream", &[]).await;
    second.get("events/stream").await.refused(503, "overloaded");
    assert_eq!(server.metric("kabar_event_streams").await, 3);
    // Another tenant gets the oldest of the one with the most.
    let mut four = Stream::open(&third, "events/stream", &[]).await;
    while let Some(frame) = one.frame().await {
        assert_eq!((frame.data, frame.retry), (None, Some(2000)), "it ends, and nothing else");
    }
    until_matches(async || server.metric("kabar_event_streams").await, |open| *open == 3).await;
    first.get("events/stream").await.refused(503, "overloaded");
    server.tenant().await.get("events/stream").await.refused(503, "overloaded");
    third.hears(&from(0), "hello").await;
    assert_eq!(four.events(3).await.len(), 3);
    first.hears(&from(0), "hello").await;
    assert_eq!(two.events(3).await.len(), 3, "the younger one goes on");
    drop(three);
    until_matches(async || server.metric("kabar_event_streams").await, |open| *open == 2).await;
    let _again = Stream::open(&first, "events/stream", &[]).await;
    assert!(server.metric("kabar_streamed_events_total").await >= 3);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    const LARGE: usize = 100_000;
    let server = TestServer::shaped(|options| options.clock = manual_clock()).await;
    let tenant = server.tenant().await;
    // More than all buffers on the way can hold.
    for _ in 0..4 {
        let messages: Vec<_> =
            (0..25).map(|nth| text_from(&from(nth), server.clock.read_now(), &"x".repeat(LARGE))).collect();
        tenant.receives(&messages).await;
        server.clock.advance_manual(Duration::from_secs(1));
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.raw().address()).await.unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: kabar\r\nAuthorization: Bearer {}\r\n\r\n",
        tenant.path("events/stream"),
        tenant.key
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let open_streams = async || server.metric("kabar_event_streams").await;
    until_matches(open_streams, |open| *open == 1).await;
    let is_dropped = async || server.metric("kabar_slow_readers_total").await == 1;
    until_advancing(&server.clock, Duration::from_secs(10), is_dropped).await;
    until_matches(open_streams, |open| *open == 0).await;
    let mut heard = Vec::new();
    let _reset = patiently(stream.read_to_end(&mut heard)).await;
    assert!(heard.len() < 100 * LARGE, "it was cut off: {}", heard.len());
    // Others are served meanwhile and after.
    let mut reader = Stream::open(&tenant, "events/stream", &[]).await;
    assert_eq!(reader.events(150).await.len(), 150);
}
