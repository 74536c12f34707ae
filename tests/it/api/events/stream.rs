//! The log as server-sent events: complete, resumable, and alive.

use std::cell::Cell;
use std::time::Duration;

use super::{live, log, streaming};
use crate::harness::{Frame, Stream, TestServer, from};

#[tokio::test]
async fn a_stream_tells_what_the_list_tells_in_the_same_bytes() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let encodings = [("Accept-Encoding", "gzip, br, zstd")];
    let mut stream = Stream::open(&tenant, "events/stream", &encodings).await;
    let header = |name: &str| stream.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("Content-Type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("Cache-Control").as_deref(), Some("no-cache"));
    assert_eq!(header("X-Accel-Buffering").as_deref(), Some("no"));
    assert_eq!(header("Content-Encoding"), None);
    assert!(header("X-Request-Id").is_some() && header("X-RateLimit-Remaining").is_some());
    assert_eq!(stream.frame().await, Some(Frame { retry: Some(2000), ..Frame::default() }));
    live(&server, &tenant).await;
    let frames = stream.events(12).await;
    let list = tenant.get("events").await;
    let body = String::from_utf8(list.body.to_vec()).unwrap();
    for (frame, event) in frames.iter().zip(log(&tenant).await) {
        assert_eq!(frame.id, event["sequence"].as_i64());
        assert_eq!(frame.event.as_deref(), event["type"].as_str());
        assert_eq!(frame.json(), event);
        assert!(body.contains(frame.data.as_ref().unwrap()), "the same bytes");
    }
    assert_eq!(tenant.api.head(&tenant.path("events/stream")).await.is(200).body.len(), 0);
}

#[tokio::test]
async fn who_comes_again_at_the_last_id_loses_and_repeats_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let mut heard = Vec::new();
    let mut last = String::from("0");
    for round in 0..6_usize {
        // Some of it happens while nobody listens, more than a batch at times.
        for nth in 0..=round * 5 {
            tenant.hears(&from(nth), "while away").await;
        }
        // The query stays what it was when the page first asked.
        let mut stream = Stream::open(&tenant, "events/stream?after=0", &[("Last-Event-ID", &last)]).await;
        tenant.hears(&from(0), "while listening").await;
        for _ in 0..=round * 4 {
            heard.push(stream.event().await);
        }
        last = heard.last().unwrap().id.unwrap().to_string();
    }
    let whole = log(&tenant).await;
    let mut rest = Stream::open(&tenant, &format!("events/stream?after={last}"), &[]).await;
    heard.extend(rest.events(whole.len() - heard.len()).await);
    let heard: Vec<_> = heard.iter().map(Frame::json).collect();
    assert!(whole.len() > 100, "{}", whole.len());
    assert_eq!(heard, whole);
}

#[tokio::test]
async fn silence_is_broken_every_15_seconds_and_keeps_the_position_young() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let mut stream = Stream::open(&tenant, "events/stream?types=message.sent", &[]).await;
    assert_eq!(stream.frame().await.unwrap().retry, Some(2000));
    let silence = |id| Frame { id: Some(id), comment: Some("nothing new".to_owned()), ..Frame::default() };
    streaming(&server, 1).await;
    server.clock.advance_manual(Duration::from_millis(14_999));
    streaming(&server, 1).await;
    tenant.hears(&from(0), "not of the type").await;
    server.clock.advance_manual(Duration::from_millis(1));
    let frame = stream.frame().await.unwrap();
    // Whether the commit before the beat was looked at yet is the scheduler's affair.
    assert!(frame == silence(3) || frame == silence(4), "{frame:?}");
    streaming(&server, 1).await;
    server.clock.advance_manual(Duration::from_secs(15));
    assert_eq!(stream.frame().await, Some(silence(4)));
    // A stream from there on hears what comes next.
    let sent = tenant.sends(&from(0)).await;
    let event = stream.event().await;
    assert_eq!(
        (event.event.as_deref(), &event.json()["data"]["message"]["id"]),
        (Some("message.sent"), &sent["id"])
    );
}

#[tokio::test]
async fn many_listen_and_a_wake_up_costs_one_read_for_all() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let last = Cell::new(3);
    let heard_by = async |streams: &mut [Stream]| {
        tenant.hears(&from(0), "for all").await;
        last.set(last.get() + 1);
        for stream in streams.iter_mut() {
            assert_eq!(stream.event().await.id, Some(last.get()));
        }
        streaming(&server, i64::try_from(streams.len()).unwrap()).await;
    };
    let alone = server.statements_of(async || heard_by(&mut []).await).await;
    let mut streams = Vec::new();
    let tail = format!("events/stream?after={}", last.get());
    for _ in 0..20 {
        streams.push(Stream::open(&tenant, &tail, &[]).await);
    }
    let all = server.statements_of(async || heard_by(&mut streams).await).await;
    assert!(all <= alone + 1, "{alone} {all}");
    // The database is not asked while there is nothing new. After a minute the use of the key is written.
    let quiet = async || {
        for _ in 0..3 {
            server.clock.advance_manual(Duration::from_secs(15));
            for stream in &mut streams {
                assert!(stream.frame().await.unwrap().comment.is_some());
            }
            streaming(&server, 20).await;
        }
    };
    assert_eq!(server.statements_of(quiet).await, 0);
}
