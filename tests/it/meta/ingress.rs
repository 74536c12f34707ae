//! Contract, section 8: WhatsApp's webhooks.

use serde_json::{Value, json};

use crate::harness::{
    APP_SECRET, Answer, Client, InboundWebhook, Tenant, TestServer, VERIFY_TOKEN, fresh_wamid, from,
    incoming, post_bytes, status_of, text, text_from,
};

mod neighbours;
mod strangers;

const PATH: &str = "/webhooks/whatsapp";

async fn contents(tenant: &Tenant) -> Vec<String> {
    let mut rows: Vec<String> =
        tenant.all("messages?limit=100").await.iter().map(|row| text(&row["content"])).collect();
    rows.reverse();
    rows
}

#[tokio::test]
async fn the_handshake_gives_the_bare_challenge_back() {
    let server = TestServer::start().await;
    let ask = async |query: String| server.anyone.get(&format!("{PATH}?{query}")).await;
    let right = format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1158201444");
    let answer = ask(right.clone()).await.is(200);
    assert_eq!(&*answer.body, b"1158201444");
    assert!(answer.must("Content-Type").starts_with("text/plain"), "{answer:?}");
    // Nothing that a browser would run can be had out of it.
    let script =
        ask(format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=%3Cscript%3E")).await;
    assert!(script.status != 200 || script.must("Content-Type").starts_with("text/plain"));
    for wrong in [
        String::new(),
        right.replace("subscribe", "unsubscribe"),
        right.replace(VERIFY_TOKEN, "wrong"),
        right.replace(VERIFY_TOKEN, ""),
        format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}"),
        format!("hub.mode=subscribe&hub.verify_token={}&hub.challenge=1", &VERIFY_TOKEN[1..]),
    ] {
        let answer = ask(wrong.clone()).await;
        answer.refused(403, "invalid_verify_token");
        assert!(!answer.body.starts_with(b"1158201444"));
    }
}

#[tokio::test]
async fn only_what_whatsapp_signed_is_taken() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let webhook = InboundWebhook::default()
        .messages(&tenant.id, &[text_from(&from(1), tenant.clock.read_now(), "hello")]);
    let body = webhook.body().to_string().into_bytes();
    let signature =
        kabar_core::meta::signature::sign_body(&kabar_core::domain::account::Secret::new(APP_SECRET), &body);
    let post = async |signature: Option<&str>, body: &[u8]| -> Answer {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(signature.map(|value| ("X-Hub-Signature-256", value)));
        server.anyone.bytes("POST", PATH, &headers, body.to_vec()).await
    };
    post(None, &body).await.refused(401, "invalid_signature");
    let hex = signature.trim_start_matches("sha256=").to_owned();
    let mut altered_hex = hex.clone().into_bytes();
    altered_hex[0] = if altered_hex[0] == b'0' { b'1' } else { b'0' };
    let altered_hex = String::from_utf8(altered_hex).unwrap();
    for wrong in [
        String::new(),
        hex.clone(),
        "sha256=".into(),
        format!("sha1={hex}"),
        format!("sha256={altered_hex}"),
        format!("sha256={}", &hex[..62]),
        format!("sha256={hex}00"),
        format!("sha256={}", "0".repeat(64)),
        "sha256=zz".into(),
    ] {
        post(Some(&wrong), &body).await.refused(401, "invalid_signature");
    }
    // The signature is over the very bytes: a blank more is another body.
    let mut altered = body.clone();
    altered.push(b' ');
    post(Some(&signature), &altered).await.refused(401, "invalid_signature");
    webhook.post_signed_by(&server.anyone, "another secret").await.refused(401, "invalid_signature");
    webhook.post_signed_by(&server.anyone, "").await.refused(401, "invalid_signature");
    assert!(tenant.get("messages").await.rows().is_empty());
    post(Some(&signature), &body).await.is(200);
    assert_eq!(contents(&tenant).await, ["hello"]);
}

#[tokio::test]
async fn an_account_may_have_a_secret_of_its_own_which_opens_no_other() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let (own_id, own_phone) =
        server.account_with(&tenant.organisation, json!({"app_secret": "its own"})).await;
    let own = Tenant { id: own_id, phone: own_phone, ..tenant.clone() };
    let to = |tenant: &Tenant, body: &str| {
        InboundWebhook::default().messages(&tenant.id, &[text_from(&from(1), tenant.clock.read_now(), body)])
    };
    to(&own, "by its own").post_signed_by(&server.anyone, "its own").await.is(200);
    assert_eq!(contents(&own).await, ["by its own"]);
    to(&tenant, "forged").post_signed_by(&server.anyone, "its own").await.refused(401, "invalid_signature");
    // A secret that only one of two numbers has must not vouch for the other.
    let both =
        to(&own, "mine").messages(&tenant.id, &[text_from(&from(2), tenant.clock.read_now(), "forged")]);
    let answer = both.post_signed_by(&server.anyone, "its own").await;
    assert!(matches!(answer.status, 200 | 401), "{answer:?}");
    assert!(contents(&tenant).await.is_empty(), "nothing forged gets in");
    let path = format!("/admin/v1/accounts/{}", own.id);
    server.operator.patch(&path, &json!({"app_secret": "a newer one"})).await.is(200);
    to(&own, "new").post_signed_by(&server.anyone, "a newer one").await.is(200);
    to(&own, "old").post_signed_by(&server.anyone, "its own").await.refused(401, "invalid_signature");
}

#[tokio::test]
async fn at_most_sixteen_secrets_of_accounts_are_tried() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let mut accounts = Vec::new();
    for nth in 0..17 {
        let secret = json!({"app_secret": format!("secret {nth}")});
        accounts.push((server.account_with(&tenant.organisation, secret).await.0, format!("secret {nth}")));
    }
    accounts.sort();
    let now = tenant.clock.read_now();
    let naming = |count: usize| {
        accounts[..count].iter().fold(InboundWebhook::default(), |webhook, (id, _)| {
            webhook.messages(id, &[text_from(&from(1), now, "hello")])
        })
    };
    let secrets: Vec<&str> = accounts.iter().map(|(_, secret)| secret.as_str()).collect();
    naming(16).post_signed_by(&server.anyone, secrets[15]).await.is(200);
    naming(17).post_signed_by(&server.anyone, secrets[0]).await.is(200);
    naming(17).post_signed_by(&server.anyone, secrets[16]).await.refused(401, "invalid_signature");
    // The server's own secret counts extra.
    naming(17).post(&server.anyone).await.is(200);
}

#[tokio::test]
async fn one_webhook_may_carry_many_items_for_many_accounts() {
    let server = TestServer::start().await;
    let (first, second) = (server.tenant().await, server.tenant().await);
    let sent = second.sent(&from(9)).await;
    let now = first.clock.read_now();
    let many: Vec<Value> = (0..50).map(|nth| text_from(&from(nth), now, &format!("m{nth}"))).collect();
    let report = status_of(&text(&sent["message_id"]), "delivered", now);
    InboundWebhook::default()
        .messages(&first.id, &many[..25])
        .statuses(&second.id, &[report])
        .messages(&first.id, &many[25..])
        .messages(&second.id, &[text_from(&from(1), now, "other")])
        .post(&server.anyone)
        .await
        .is(200);
    let expected: Vec<String> = (0..50).map(|nth| format!("m{nth}")).collect();
    assert_eq!(contents(&first).await, expected, "all of them, in their order");
    assert_eq!(second.message(&text(&sent["id"])).await["status"], "delivered");
    assert_eq!(second.get("messages?direction=inbound").await.column("content"), ["other"]);
}

#[tokio::test]
async fn redeliveries_change_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let message = text_from(&from(1), tenant.clock.read_now(), "once");
    let webhook = InboundWebhook::default().messages(&tenant.id, &[message.clone(), message]);
    webhook.post(&server.anyone).await.is(200);
    let before = tenant.get("conversations").await;
    for _ in 0..3 {
        webhook.post(&server.anyone).await.is(200);
    }
    assert_eq!(contents(&tenant).await, ["once"]);
    tenant.get_if("conversations", &before.etag()).await.is(304);
    assert_eq!(before.rows()[0]["unread_count"], 1);
}

#[tokio::test]
async fn the_same_webhook_twice_at_once_is_taken_once() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let messages: Vec<Value> =
        (0..20).map(|nth| text_from(&from(nth), tenant.clock.read_now(), "x")).collect();
    let webhook = InboundWebhook::default().messages(&tenant.id, &messages);
    let post = async |client: &Client| webhook.post(client).await.is(200);
    tokio::join!(post(&server.anyone), post(&server.anyone), post(&server.anyone));
    assert_eq!(contents(&tenant).await.len(), 20);
    assert_eq!(tenant.get("conversations").await.column("unread_count"), vec![json!(1); 20]);
}

#[tokio::test]
async fn numbers_that_nobody_connected_are_answered_with_200() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let now = tenant.clock.read_now();
    let stranger = InboundWebhook::default().messages("999999999999", &[text_from(&from(1), now, "lost")]);
    stranger.post(&server.anyone).await.is(200);
    let mixed = stranger.messages(&tenant.id, &[text_from(&from(1), now, "found")]);
    mixed.post(&server.anyone).await.is(200);
    assert_eq!(contents(&tenant).await, ["found"]);
    // Nor is a number that the operator has taken off, until it is connected again.
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    server.operator.patch(&path, &json!({"status": "disconnected"})).await.is(200);
    InboundWebhook::default()
        .messages(&tenant.id, &[text_from(&from(1), now, "late")])
        .post(&server.anyone)
        .await
        .is(200);
    assert_eq!(contents(&tenant).await, ["found"]);
    server.operator.patch(&path, &json!({"status": "connected"})).await.is(200);
    tenant.hears(&from(1), "again").await;
    assert_eq!(contents(&tenant).await.len(), 2);
}

#[tokio::test]
async fn bodies_up_to_3_mb_are_read_and_larger_ones_refused() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let padding = 3 * 1024 * 1024;
    let webhook = InboundWebhook::default()
        .messages(&tenant.id, &[text_from(&from(1), tenant.clock.read_now(), "big")]);
    let mut body = webhook.body().to_string().into_bytes();
    body.resize(padding, b' ');
    post_bytes(&server.anyone, body.clone(), APP_SECRET).await.is(200);
    assert_eq!(contents(&tenant).await, ["big"]);
    body.push(b' ');
    post_bytes(&server.anyone, body, APP_SECRET).await.refused(413, "payload_too_large");
    // Full of items, too.
    let now = tenant.clock.read_now();
    let messages: Vec<Value> =
        (0..2_000).map(|nth| text_from(&from(nth % 50), now, &"x".repeat(500))).collect();
    InboundWebhook::default().messages(&tenant.id, &messages).post(&server.anyone).await.is(200);
    let unread: i64 = tenant
        .all("conversations?limit=100")
        .await
        .iter()
        .map(|row| row["unread_count"].as_i64().unwrap())
        .sum();
    assert_eq!(unread, 2_001);
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_though_signed() {
    let server = TestServer::start().await;
    for body in ["", "[]", "null", "\"x\"", "{", "{} {}", "\u{0}"] {
        let answer = post_bytes(&server.anyone, body.into(), APP_SECRET).await;
        if answer.status != 200 {
            let error = answer.refusal();
            assert_eq!(answer.status, 400, "{body:?} {error}");
        }
    }
    for harmless in
        [json!({}), json!({"object": "page", "entry": []}), json!({"entry": null}), json!({"entry": 7})]
    {
        post_bytes(&server.anyone, harmless.to_string().into(), APP_SECRET).await.is(200);
    }
}

#[tokio::test]
async fn errors_of_the_account_itself_are_taken() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": tenant.id},
        "errors": [{"code": 131_031, "title": "Account locked", "message": "locked"}]});
    InboundWebhook::default().value(&value).post(&server.anyone).await.is(200);
    let odd = incoming(&from(1), tenant.clock.read_now(), "text", json!({"body": "after"}));
    tenant.receives(&[odd]).await;
    assert_eq!(contents(&tenant).await, ["after"]);
    assert_ne!(fresh_wamid(), fresh_wamid());
}

#[tokio::test]
async fn what_is_kept_and_learned_is_counted() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let now = tenant.clock.read_now();
    let user_id = "ID.40817263549918273";
    let by_number = text_from(&from(1), now, "by number");
    let mut by_id = text_from("", now, "by id");
    by_id["from_user_id"] = user_id.into();
    let mut by_both = text_from(&from(1), now, "by both");
    by_both["from_user_id"] = user_id.into();
    let mut by_other = text_from(&from(2), now, "by another number");
    by_other["from_user_id"] = user_id.into();
    let value = |message: &Value| json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": tenant.id}, "messages": [message]});
    let mut kept = 0;
    for (message, merged, learned) in
        [(&by_number, 0, false), (&by_id, 0, false), (&by_other, 0, true), (&by_both, 1, true)]
    {
        kept += i64::try_from(message.to_string().len()).unwrap();
        // A message that comes again is kept once.
        for _ in 0..2 {
            InboundWebhook::default().value(&value(message)).post(&server.anyone).await.is(200);
            assert_eq!(server.metric("kabar_whatsapp_raw_bytes_total").await, kept, "{message}");
            assert_eq!(server.metric("kabar_contacts_merged_total").await, merged, "{message}");
            let count = server.metric("kabar_contact_identifiers_learned_total").await;
            assert_eq!(count > 0, learned, "{message}: {count}");
        }
    }
    assert_eq!(tenant.get("contacts").await.rows().len(), 1);
    assert_eq!(server.metric("kabar_parked_items_dropped_total").await, 0);
}
