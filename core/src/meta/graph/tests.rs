//! Against a server that answers whatever the test wrote, or nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::Clock;
use crate::domain::account::{AccountStatus, PhoneNumberId, Secret};
use crate::domain::identity::Party;
use crate::domain::message::{Direction, MessageKind};
use crate::domain::message_details::{MessageContext, MessageDetails, MessageSource};
use crate::domain::phone::Phone;
use crate::domain::status::{MessageStatus, StatusHistory};
use crate::domain::time::Timestamp;
use crate::ids::{AccountId, ContactId, ConversationId, MessageId, OrganisationId};

fn account() -> Account {
    Account {
        id: AccountId::from_bits(1),
        number: 1,
        organisation_id: OrganisationId::from_bits(1),
        phone_number_id: PhoneNumberId::parse("100200300400501").unwrap(),
        phone: Phone::parse("+12025550100").unwrap(),
        name: None,
        status: AccountStatus::Connected,
        status_reason: None,
        recovery: None,
        profile: AccountProfile::default(),
        access_token: Secret::new("t0ken"),
        app_secret: None,
        messages_per_second: 80,
        sandbox: true,
        created_at: Timestamp::EPOCH,
    }
}

fn message() -> Message {
    Message {
        id: MessageId::from_bits(7),
        direction: Direction::Outbound,
        status: MessageStatus::Pending,
        kind: MessageKind::Text,
        conversation_id: ConversationId::from_bits(1),
        contact_id: ContactId::from_bits(1),
        from: Address::parse("+12025550100").unwrap(),
        to: Address::parse("+12025550141").unwrap(),
        wamid: None,
        content: "hello".into(),
        payload: r#"{"body":"hello","preview_url":false}"#.into(),
        context: Some(MessageContext::of_answer("wamid.IN1".into())),
        details: MessageDetails::of_source(MessageSource::Api),
        error: None,
        history: StatusHistory::default(),
        attempts: 0,
        next_attempt_at: None,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
    }
}

fn far_deadline() -> SendDeadline {
    let clock = Arc::new(Clock::manual_clock(Timestamp::EPOCH));
    let at = clock.monotonic_now().saturating_plus(TOTAL_TIMEOUT);
    SendDeadline::new(clock, at)
}

async fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(json) = serde_json::from_str(body)
        {
            return (head.to_ascii_lowercase(), json);
        }
        assert!(count > 0, "the request broke off");
    }
}

/// Takes one request, answers it with these bytes, and hangs up.
async fn answered<T>(answer: &[u8], call: impl AsyncFnOnce(GraphClient) -> T) -> (T, String, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = GraphClient::new(&format!("http://{}/", listener.local_addr().unwrap()), "v23.0").unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        // A client that has read enough may hang up first.
        let _done = stream.write_all(answer).await;
        let _closed = stream.shutdown().await;
        request
    };
    let (outcome, (head, body)) = tokio::join!(call(client), serve);
    (outcome, head, body)
}

async fn sent(answer: &[u8]) -> GraphOutcome {
    answered(answer, async |client| client.send_message(&account(), &message(), far_deadline()).await).await.0
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn accepted(wamid: &str) -> GraphOutcome {
    GraphOutcome::Accepted { wamid: wamid.into(), hold_reason: None, recipient: Party::default() }
}

fn refusal(code: i64) -> String {
    json!({"error": {"message": format!("(#{code}) no"), "type": "OAuthException", "code": code, "fbtrace_id": "A"}})
        .to_string()
}

#[tokio::test]
async fn the_request_is_metas() {
    let answer =
        http("200 OK", r#"{"messaging_product":"whatsapp","contacts":[],"messages":[{"id":"wamid.OUT1"}]}"#);
    let call = async |client: GraphClient| client.send_message(&account(), &message(), far_deadline()).await;
    let (outcome, head, body) = answered(&answer, call).await;
    assert_eq!(outcome, accepted("wamid.OUT1"));
    assert!(head.starts_with("post /v23.0/100200300400501/messages http/1.1"), "{head}");
    assert!(head.contains("authorization: bearer t0ken"));
    let expected = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "12025550141",
        "type": "text", "text": {"body": "hello", "preview_url": false}, "context": {"message_id": "wamid.IN1"},
        "biz_opaque_callback_data": "msg_00000000000000000000000007"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_read_receipt_is_metas() {
    let call = async |client: GraphClient| {
        client.mark_read(&account(), &ReadReceipt { wamid: "wamid.IN1".into(), typing: false }).await
    };
    let (outcome, _, body) = answered(&http("200 OK", r#"{"success":true}"#), call).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(body, json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.IN1"}));
    let (outcome, ..) = answered(&http("400 Bad Request", &refusal(100)), call).await;
    assert!(!outcome.unwrap_err().transient);
    let (outcome, ..) = answered(b"", call).await;
    assert!(outcome.unwrap_err().transient);
}

#[tokio::test]
async fn refusals_are_told_apart_by_their_number() {
    for code in [10, 190, 131_042] {
        let outcome = sent(&http("403 Forbidden", &refusal(code))).await;
        assert!(matches!(outcome, GraphOutcome::AccountRefused(error) if error.provider_code == Some(code)));
    }
    for code in [100, 131_047, 132_001] {
        let GraphOutcome::Refused(error) = sent(&http("400 Bad Request", &refusal(code))).await else {
            panic!("{code}")
        };
        assert_eq!(error.provider_code, Some(code));
    }
    for (status, code) in
        [("400 Bad Request", 131_056), ("429 Slow", 80_007), ("500 Oops", 100), ("503 No", 2)]
    {
        let outcome = sent(&http(status, &refusal(code))).await;
        assert!(matches!(outcome, GraphOutcome::Transient { retry_after: None, .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn pauses_are_asked_for_in_seconds_and_bounded() {
    for (asked, kept) in [("7", Some(7)), ("86400", Some(3600)), ("Wed, 21 Oct", None), ("-1", None)] {
        let answer = format!("HTTP/1.1 429 Slow\r\nretry-after: {asked}\r\ncontent-length: 0\r\n\r\n");
        let GraphOutcome::Transient { retry_after, .. } = sent(answer.as_bytes()).await else {
            panic!("{asked}")
        };
        assert_eq!(retry_after, kept.map(Duration::from_secs), "{asked}");
    }
}

#[tokio::test]
async fn an_answer_that_says_nothing_leaves_it_open() {
    let long = format!(r#"{{"messages":[{{"id":"wamid.X"}}],"x":"{}"}}"#, "x".repeat(ANSWER_BYTES_MAX));
    for answer in [
        http("200 OK", "<html>"),
        http("200 OK", r#"{"messages":[]}"#),
        http("200 OK", &long),
        http("502 Bad Gateway", "<html>"),
        http("504 Gateway Timeout", r#"{"error":"timeout"}"#),
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"messages\":".to_vec(),
        b"".to_vec(),
    ] {
        let outcome = sent(&answer).await;
        assert!(matches!(outcome, GraphOutcome::Unknown { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let answer = b"HTTP/1.1 307 Away\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    assert!(matches!(sent(answer).await, GraphOutcome::Refused(error) if error.message.contains("307")));
}

#[tokio::test]
async fn what_never_left_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = GraphClient::new(&nobody, "v23.0").unwrap();
    let outcome = client.send_message(&account(), &message(), far_deadline()).await;
    assert!(matches!(outcome, GraphOutcome::Transient { .. }), "{outcome:?}");

    let mut unsendable = account();
    unsendable.access_token = Secret::new("line\nbreak");
    let outcome = client.send_message(&unsendable, &message(), far_deadline()).await;
    assert!(matches!(outcome, GraphOutcome::Transient { .. }), "{outcome:?}");

    let mut unreadable = message();
    unreadable.payload = "{".into();
    assert!(matches!(
        client.send_message(&account(), &unreadable, far_deadline()).await,
        GraphOutcome::Refused(_)
    ));
}

#[tokio::test]
async fn silence_ends_in_time_and_leaves_it_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let http = Client::builder().timeout(Duration::from_millis(100)).build().unwrap();
    let client = GraphClient::with_http(&base, "v23.0", http);
    let outcome = client.send_message(&account(), &message(), far_deadline()).await;
    assert!(matches!(outcome, GraphOutcome::Unknown { .. }), "{outcome:?}");
}

/// As when the process is stopped after its last look at the clock and before the connection writes the request.
#[tokio::test]
async fn a_message_is_not_sent_after_its_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = GraphClient::new(&format!("http://{}", listener.local_addr().unwrap()), "v23.0").unwrap();
    let clock = Arc::new(Clock::manual_clock(Timestamp::EPOCH));
    let deadline = SendDeadline::new(clock.clone(), clock.monotonic_now().saturating_plus(TOTAL_TIMEOUT));
    clock.advance_manual(TOTAL_TIMEOUT);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        // The connection may be reset, which ends the reading too.
        let _ended = stream.read_to_end(&mut received).await;
        String::from_utf8(received).unwrap()
    };
    let (account, message) = (account(), message());
    let (outcome, received) = tokio::join!(client.send_message(&account, &message, deadline), serve);
    assert!(matches!(outcome, GraphOutcome::Unknown { .. }), "{outcome:?}");
    assert!(!received.contains("hello"), "{received}");
}
