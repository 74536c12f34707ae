//! Events are kept for so many days; who comes too late is told, and never skips in silence.

use std::time::Duration;

use super::{Part, log, part, sequence};
use crate::harness::{Answer, PAGE_LIFE, Stream, Tenant, TestServer, from, manual_clock, until_some};

const DAY: Duration = Duration::from_hours(24);

/// The refusal that this position gets once it is too old.
async fn expired(tenant: &Tenant, tail: &str) -> Answer {
    until_some(async || {
        let answer = tenant.get(tail).await;
        if answer.status == 410 {
            return Some(answer);
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        tenant.clock.advance_manual(PAGE_LIFE);
        None
    })
    .await
}

#[tokio::test]
async fn a_position_before_the_log_is_410() {
    let server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.set("KABAR_EVENTS__RETENTION_DAYS", "3");
    })
    .await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    server.clock.advance_manual(2 * DAY);
    tenant.hears(&from(0), "on the second day").await;
    assert_eq!(log(&tenant).await.len(), 4);
    server.clock.advance_manual(DAY);
    let refused = expired(&tenant, "events?after=1").await;
    let told = refused.refused(410, "position_expired");
    assert!(told["message"].as_str().unwrap().contains("number 4"), "{told}");
    for tail in ["events?after=2&types=contact.updated", "events/stream?after=2", "events?after=1&limit=1"] {
        tenant.get(tail).await.refused(410, "position_expired");
    }
    let resumed = tenant.get_with("events/stream", &[("Last-Event-ID", "2")]).await;
    resumed.refused(410, "position_expired");
    // The last position that misses nothing, and the beginning of what there is.
    for tail in ["events?after=3", "events?after=0", "events"] {
        assert_eq!(part(&tenant, tail).await.sequences(), [4], "{tail}");
    }
    let mut stream = Stream::open(&tenant, "events/stream", &[]).await;
    assert_eq!(stream.event().await.id, Some(4));
    // All of it goes, and the log goes on.
    server.clock.advance_manual(3 * DAY);
    let refused = expired(&tenant, "events?after=3").await;
    let told = refused.refused(410, "position_expired");
    assert!(told["message"].as_str().unwrap().contains("number 5"), "{told}");
    let empty = Part::of(&tenant.get("events?after=4").await);
    assert_eq!((empty.events.len(), empty.last_sequence), (0, 4));
    let beginning = part(&tenant, "events").await;
    assert_eq!((beginning.events.len(), beginning.last_sequence, beginning.has_more), (0, 4, false));
    tenant.hears(&from(0), "much later").await;
    assert_eq!(log(&tenant).await.iter().map(sequence).collect::<Vec<_>>(), [5]);
    assert_eq!(stream.event().await.id, Some(5));
}
