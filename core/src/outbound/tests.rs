//! The guarded client against servers on this machine and a DNS that tells what a test wants.

mod far_end;

use far_end::{Dns, FarEnd, Says, get, v4};
use http::header::{HeaderName, LOCATION};

use super::*;

const LOOPBACK: IpAddr = v4(127, 0, 0, 1);
const ELSEWHERE: IpAddr = v4(127, 0, 0, 2);

fn client(dns: &Arc<Dns>, allow_loopback: bool) -> OutboundClient {
    OutboundClient::new(dns.clone(), allow_loopback).unwrap()
}

fn is_refused(answer: &Result<OutboundAnswer, OutboundError>) -> bool {
    matches!(answer, Err(OutboundError::Refused(_)))
}

#[tokio::test]
async fn an_answer_comes_back_whole_and_the_connection_is_used_again() {
    let far = FarEnd::listen(LOOPBACK, Says::text("200 OK", "taken")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK]]);
    let client = client(&dns, true);
    for _ in 0..3 {
        let answer = client.send(get(&client, &far.url("http", "hook.example"))).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..], answer.truncated), (200, &b"taken"[..], false));
    }
    assert_eq!((far.connections(), far.requests(), dns.asked()), (1, 3, 3), "resolved per attempt");
    assert_eq!(client.0.pool.count_idle(), 1);
    assert!(far.heard().contains(&format!("Host: hook.example:{}", far.port)), "{}", far.heard());
}

#[tokio::test]
async fn a_name_that_turns_to_a_closed_address_is_not_called_again() {
    for closed in [v4(10, 0, 0, 1), v4(169, 254, 169, 254), "::ffff:127.0.0.1".parse().unwrap()] {
        let far = FarEnd::listen(LOOPBACK, Says::text("200 OK", "")).await;
        // The last answer holds for good: the idle connection to the good address is not used either.
        let dns = Dns::says("hook.example", &[&[LOOPBACK], &[closed]]);
        let client = client(&dns, true);
        let url = far.url("http", "hook.example");
        assert!(client.send(get(&client, &url)).await.is_ok());
        assert!(is_refused(&client.send(get(&client, &url)).await));
        assert!(is_refused(&client.send(get(&client, &url)).await));
        assert_eq!(far.requests(), 1);
    }
}

#[tokio::test]
async fn one_closed_address_among_open_ones_is_enough() {
    let far = FarEnd::listen(LOOPBACK, Says::text("200 OK", "")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK, v4(192, 168, 0, 1)]]);
    let client = client(&dns, true);
    assert!(is_refused(&client.send(get(&client, &far.url("http", "hook.example"))).await));
    assert_eq!(far.connections(), 0);
}

#[tokio::test]
async fn an_idle_connection_serves_only_the_address_that_was_just_checked() {
    let first = FarEnd::listen(LOOPBACK, Says::text("200 OK", "first")).await;
    let second = FarEnd::listen_at(ELSEWHERE, first.port, Says::text("200 OK", "second")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK], &[ELSEWHERE], &[LOOPBACK]]);
    let client = client(&dns, true);
    let url = first.url("http", "hook.example");
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.push(client.send(get(&client, &url)).await.unwrap().body);
    }
    assert_eq!(bodies, ["first", "second", "first"]);
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[tokio::test]
async fn without_the_setting_this_machine_is_closed_under_every_name() {
    let far = FarEnd::listen(LOOPBACK, Says::text("200 OK", "")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK], &["::1".parse().unwrap()]]);
    let client = client(&dns, false);
    assert!(client.target(&far.url("https", "127.0.0.1")).is_err());
    assert!(client.target(&far.url("http", "hook.example")).is_err());
    for _ in 0..2 {
        assert!(is_refused(&client.send(get(&client, &far.url("https", "hook.example"))).await));
    }
    assert_eq!(far.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_cookies_are_not_kept() {
    let trap = FarEnd::listen(LOOPBACK, Says::text("200 OK", "")).await;
    let head = format!("302 Found\r\nLocation: {}\r\nSet-Cookie: a=b", trap.url("http", "127.0.0.1"));
    let far = FarEnd::listen(LOOPBACK, Says::text(&head, "")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK]]);
    let client = client(&dns, true);
    for _ in 0..2 {
        let answer = client.send(get(&client, &far.url("http", "hook.example"))).await.unwrap();
        assert_eq!(answer.status, StatusCode::FOUND);
        assert!(answer.headers.contains_key(LOCATION));
    }
    assert_eq!(trap.connections(), 0);
    assert!(!far.heard().to_lowercase().contains("cookie"), "{}", far.heard());
}

#[tokio::test]
async fn a_long_answer_is_cut_and_a_large_head_refused() {
    let dns = Dns::says("hook.example", &[&[LOOPBACK]]);
    let client = client(&dns, true);
    for says in [Says::text("200 OK", &"x".repeat(100_000)), Says::Forever] {
        let far = FarEnd::listen(LOOPBACK, says).await;
        let request = get(&client, &far.url("http", "hook.example"));
        let answer = client.send(OutboundRequest { answer_bytes_max: 1000, ..request }).await.unwrap();
        assert_eq!((answer.body.len(), answer.truncated), (1000, true));
        assert_eq!(client.0.pool.count_idle(), 0, "what was cut off is not used again");
    }
    let wide = format!("200 OK\r\nX-Wide: {}", "x".repeat(64 * 1024));
    let many = format!("200 OK{}", "\r\nX-Many: 1".repeat(1000));
    for head in [wide, many] {
        let far = FarEnd::listen(LOOPBACK, Says::text(&head, "")).await;
        let answer = client.send(get(&client, &far.url("http", "hook.example"))).await;
        assert!(matches!(answer, Err(OutboundError::Broken(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn who_does_not_answer_in_time_or_not_in_http_is_given_up() {
    let dns = Dns::says("hook.example", &[&[LOOPBACK]]);
    let client = client(&dns, true);
    for (says, late) in
        [(Says::Nothing, true), (Says::HalfAnAnswer, true), (Says::Garbage, false), (Says::Close, false)]
    {
        let far = FarEnd::listen(LOOPBACK, says).await;
        let request = get(&client, &far.url("http", "hook.example"));
        let timeout = Duration::from_millis(if late { 50 } else { 20_000 });
        let error = client.send(OutboundRequest { timeout, ..request }).await.unwrap_err();
        assert_eq!(matches!(error, OutboundError::Late(_)), late, "{error:?}");
    }
}

#[tokio::test]
async fn names_that_lead_nowhere_are_told_apart() {
    let dns = Dns::says("nobody.example", &[&[]]);
    let client = client(&dns, true);
    let error = client.send(get(&client, "http://nobody.example:9999/")).await.unwrap_err();
    assert!(matches!(error, OutboundError::Unresolved(_)), "{error:?}");
    let error = client.send(get(&client, "http://unknown.example:9999/")).await.unwrap_err();
    assert!(matches!(error, OutboundError::Unresolved(_)), "{error:?}");
    let far = FarEnd::listen(LOOPBACK, Says::Close).await;
    let url = far.url("http", "127.0.0.1");
    drop(far);
    let error = client.send(get(&client, &url)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Unreached(_)), "{error:?}");
    assert_eq!(dns.asked(), 2, "an address is not resolved");
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_accept() {
    let far = FarEnd::listen(ELSEWHERE, Says::text("200 OK", "there")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK, ELSEWHERE]]);
    let client = client(&dns, true);
    let answer = client.send(get(&client, &far.url("http", "hook.example"))).await.unwrap();
    assert_eq!(answer.body, "there");
}

#[tokio::test]
async fn a_connection_closed_while_it_lay_idle_is_replaced() {
    let far = FarEnd::listen(LOOPBACK, Says::Once("200 OK".to_owned())).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK]]);
    let client = client(&dns, true);
    for n in 1..=5 {
        let request = get(&client, &far.url("http", "hook.example"));
        let answer = client.send(OutboundRequest { repeatable: true, ..request }).await.unwrap();
        assert_eq!((answer.status, far.connections()), (StatusCode::OK, n));
    }
}

#[tokio::test]
async fn headers_that_frame_the_message_are_not_the_callers() {
    let far = FarEnd::listen(LOOPBACK, Says::text("200 OK", "")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK]]);
    let client = client(&dns, true);
    let mut request = get(&client, &far.url("http", "hook.example"));
    (request.method, request.body) = (Method::POST, Bytes::from_static(b"four"));
    for (name, value) in [
        ("host", "evil.example"),
        ("content-length", "400"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "Basic x"),
        ("x-kept", "yes"),
    ] {
        let name = HeaderName::from_static(name);
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    client.send(request).await.unwrap();
    let heard = far.heard();
    let lines: Vec<&str> = heard.lines().collect();
    let host = format!("Host: hook.example:{}", far.port);
    for line in ["POST /hook?a=1 HTTP/1.1", host.as_str(), "X-Kept: yes", "Content-Length: 4"] {
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    for word in ["evil", "chunked", "upgrade", "h2c", "Proxy"] {
        assert!(!heard.contains(word), "{word} in {lines:?}");
    }
    let tunnel =
        OutboundRequest { method: Method::CONNECT, ..get(&client, &far.url("http", "hook.example")) };
    assert!(matches!(client.send(tunnel).await, Err(OutboundError::Method)));
}

#[tokio::test]
async fn a_certificate_is_checked_against_the_name_and_not_the_address() {
    let (far, tls) = FarEnd::listen_secure(LOOPBACK, "hook.example", Says::text("200 OK", "safe")).await;
    let dns = Dns::says("hook.example", &[&[LOOPBACK]]);
    dns.add("other.example", LOOPBACK);
    let client = OutboundClient::with_tls(dns.clone(), true, tls);
    for _ in 0..2 {
        let answer = client.send(get(&client, &far.url("https", "hook.example"))).await.unwrap();
        assert_eq!(answer.body, "safe");
    }
    assert_eq!(far.connections(), 1);
    for name in ["other.example", "127.0.0.1"] {
        let error = client.send(get(&client, &far.url("https", name))).await.unwrap_err();
        assert!(matches!(error, OutboundError::Untrusted(_)), "{name}: {error:?}");
    }
    // A certificate that this machine has no reason to trust.
    let strict = OutboundClient::new(dns, true).unwrap();
    let error = strict.send(get(&strict, &far.url("https", "hook.example"))).await.unwrap_err();
    assert!(matches!(error, OutboundError::Untrusted(_)), "{error:?}");
    assert_eq!(far.requests(), 2);
}

#[tokio::test]
async fn the_machines_resolver_knows_the_machine() {
    let lookups = crate::fair_bound::FairBound::new("test", 1);
    let permit = lookups.acquire(OrganisationId::from_bits(1)).await.unwrap();
    let found = SystemResolver.resolve("localhost", permit).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
}
