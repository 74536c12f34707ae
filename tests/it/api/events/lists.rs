//! The log in pages: filters, positions, tags, waiting, and what is refused.

use serde_json::json;

use super::{Part, live, log, part};
use crate::harness::{TestServer, from, manual_clock, text, until_matches};

#[tokio::test]
async fn positions_and_cursors_walk_the_log_once() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    live(&server, &tenant).await;
    let whole = log(&tenant).await;
    for limit in [1, 5, 12, 100] {
        let (mut tail, mut events) = (format!("events?limit={limit}"), Vec::new());
        loop {
            let part = part(&tenant, &tail).await;
            assert!(part.events.len() <= limit);
            assert_eq!(part.has_more, part.last_sequence < 12, "{tail}");
            events.extend(part.events);
            let Some(cursor) = part.cursor else { break };
            // A cursor goes before the position with which the walk began.
            tail = format!("events?after=1&limit={limit}&cursor={cursor}");
        }
        assert_eq!(events, whole, "{limit}");
    }
    let beyond = part(&tenant, "events?after=99").await;
    assert_eq!((beyond.events.len(), beyond.last_sequence, beyond.has_more), (0, 99, false));
    let cursor = part(&tenant, "events?limit=1").await.cursor.unwrap();
    let other = format!("events?limit=1&types=message.sent&cursor={cursor}");
    tenant.get(&other).await.refused(400, "invalid_cursor");
    let second = server.second_account(&tenant).await;
    second.get(&format!("events?cursor={cursor}")).await.refused(400, "invalid_cursor");
}

#[tokio::test]
async fn filters_leave_out_and_still_say_how_far() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    live(&server, &tenant).await;
    let whole = log(&tenant).await;
    for kind in super::TYPES {
        let part = part(&tenant, &format!("events?types={kind}")).await;
        let wanted: Vec<_> = whole.iter().filter(|event| event["type"] == kind).cloned().collect();
        assert!(!wanted.is_empty());
        assert_eq!((part.events, part.last_sequence, part.has_more), (wanted, 12, false), "{kind}");
    }
    let statuses = part(&tenant, "events?types=message.status,message.sent&limit=2").await;
    assert_eq!((statuses.sequences(), statuses.last_sequence), (vec![10, 11], 11));
    assert!(statuses.has_more);
    let none = part(&tenant, "events?types=conversation.closed&after=6").await;
    assert_eq!((none.events.len(), none.last_sequence, none.has_more), (0, 12, false));
}

#[tokio::test]
async fn an_unchanged_part_is_304_and_the_end_of_the_log_costs_no_sql() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    for tail in ["events?after=6", "events", "events?after=2&limit=2", "events?types=message.received"] {
        let answer = tenant.get(tail).await;
        let tag = answer.etag();
        if tail == "events?after=6" {
            let free = async || {
                assert!(tenant.get_if(tail, &tag).await.is(304).body.is_empty());
                for more in ["&ignored=1", "&limit=3", "&types=message.sent"] {
                    tenant.get(&format!("{tail}{more}")).await.is(200);
                }
            };
            assert_eq!(server.statements_of(free).await, 0, "{tail}");
        } else {
            assert!(tenant.get_if(tail, &tag).await.is(304).body.is_empty());
            tenant.get(&format!("{tail}&ignored=1").replace("events&", "events?")).await.is(200);
        }
        tenant.hears(&from(0), "news").await;
        // A full page in the middle of the log is not changed by its growth.
        let full = tail.ends_with("limit=2");
        tenant.get_if(tail, &tag).await.is(if full { 304 } else { 200 });
    }
}

#[tokio::test]
async fn at_the_end_of_the_log_a_poll_waits_for_what_it_wants() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let waiting = async |count: i64| {
        until_matches(
            async || server.operator.get("/admin/v1/actors").await.json(),
            |actors| actors["data"][0]["waiting_polls"] == count,
        )
        .await;
    };
    let path = tenant.path("events?after=3&types=contact.updated");
    let asked = tenant.api.get_with(&path, &[("Prefer", "wait=60")]);
    let thread = tenant.conversation_with(&from(0)).await;
    let contact = format!("contacts/{}", text(&thread["contact"]["id"]));
    let changes = async {
        waiting(1).await;
        // Not of the type: it goes on waiting.
        tenant.hears(&from(0), "again").await;
        waiting(1).await;
        tenant.patch(&contact, &json!({"name": "Sari"})).await.is(200);
    };
    let (answer, ()) = tokio::join!(asked, changes);
    assert_eq!(answer.must("Preference-Applied"), "wait=60");
    let part = Part::of(&answer);
    assert_eq!((part.sequences(), part.events[0]["type"].as_str()), (vec![5], Some("contact.updated")));
    // What is there is told at once.
    let at_once = tenant.api.get_with(&path, &[("Prefer", "wait=60")]).await;
    assert_eq!((at_once.header("Preference-Applied"), Part::of(&at_once).sequences()), (None, vec![5]));
    // At the deadline it says how far it has looked.
    let late = tenant.path("events?after=6&types=message.sent");
    let asked = tenant.api.get_with(&late, &[("Prefer", "wait=5")]);
    let time_passes = async {
        waiting(1).await;
        tenant.hears(&from(0), "and again").await;
        waiting(1).await;
        server.clock.advance_manual(std::time::Duration::from_secs(5));
    };
    let (answer, ()) = tokio::join!(asked, time_passes);
    let part = Part::of(&answer);
    assert_eq!((part.events.len(), part.last_sequence, part.has_more), (0, 7, false));
    assert_eq!(answer.must("Preference-Applied"), "wait=5");
}

#[tokio::test]
async fn hostile_parameters_are_refused_by_name() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    for operation in ["events", "events/stream"] {
        for (parameters, param) in [
            ("after=-1", "after"),
            ("after=", "after"),
            ("after=x", "after"),
            ("after=1.5", "after"),
            ("after=9223372036854775808", "after"),
            ("after=1&after=2", "after"),
            ("after=%00", "after"),
            ("types=", "types"),
            ("types=message", "types"),
            ("types=message.sent,", "types"),
            ("types=message.sent&types=message.sent", "types"),
            ("types=%27%20OR%201=1--", "types"),
        ] {
            let refused = tenant.get(&format!("{operation}?{parameters}")).await;
            assert_eq!(refused.refused(400, "invalid_field_value")["param"], param, "{parameters}");
        }
    }
    for (parameters, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=101", "invalid_limit"),
        ("cursor=", "invalid_cursor"),
        ("cursor=AAAA", "invalid_cursor"),
    ] {
        tenant.get(&format!("events?{parameters}")).await.refused(400, code);
    }
    for id in ["-1", "x", "1e3", "99999999999999999999"] {
        let refused = tenant.get_with("events/stream", &[("Last-Event-ID", id)]).await;
        assert_eq!(refused.refused(400, "invalid_field_value")["param"], "Last-Event-ID");
    }
    tenant.get("events?after=9223372036854775807&limit=100").await.is(200);
    for path in ["/v1/12/events", "/v1/12/events/stream"] {
        tenant.api.get(path).await.refused(400, "invalid_field_value");
    }
    for path in ["/v1/999999999/events", "/v1/999999999/events/stream"] {
        tenant.api.get(path).await.refused(404, "resource_not_found");
        server.anyone.get(path).await.refused(401, "missing_api_key");
        tenant.api.post(path, &json!({})).await.refused(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn waiting_for_a_rare_type_reads_the_log_only_when_there_is_one() {
    let server = TestServer::shaped(|options| options.clock = manual_clock()).await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let tail = "events?after=3&types=message.status";
    part(&tenant, tail).await;
    // Compared with a tenant who does not ask.
    let cost = async |ask: bool| {
        let heard = async || {
            for _ in 0..20 {
                tenant.hears(&from(0), "more").await;
                if ask {
                    assert!(part(&tenant, tail).await.events.is_empty());
                }
            }
        };
        server.statements_of(heard).await
    };
    let (without, with) = (cost(false).await, cost(true).await);
    // A node that shares its database renews its leases now and then, whoever asks.
    assert!(with < without + 20, "{with} with, {without} without");
}
