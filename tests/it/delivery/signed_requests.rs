//! The request as a receiver gets it.

use serde_json::json;

use super::{deliveries, stage, subscribe, until_deliveries};
use crate::harness::{NOON, Receiver, check_object, from, is_id, keys_of, text};

#[tokio::test]
async fn a_request_is_the_contracts() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, secret) = subscribe(&tenant, &receiver).await;
    assert!(secret.starts_with("whsec_") && secret.len() == "whsec_".len() + 44, "{secret}");
    tenant.hears(&from(0), "hello").await;
    let call = receiver.until(1).await.remove(0);
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/hook?a=b%20c"));
    let event = call.event();
    assert_eq!(call.header("Content-Type"), "application/json");
    assert_eq!(call.header("X-Kirim-Event"), "message.received");
    assert_eq!(call.header("X-Kirim-Event-Id"), text(&event["id"]));
    assert!(is_id("wbd", &call.header("X-Kirim-Delivery-Id")));
    assert_eq!((call.attempt(), call.header("X-Kirim-Source").as_str()), (1, "kirim"));
    assert!(call.header("User-Agent").starts_with("kabar/"));
    assert_eq!(call.header("Host"), format!("127.0.0.1:{}", receiver.port));
    assert_eq!(call.header("Content-Length"), call.body.len().to_string());
    let (at, signers) = call.signers(&[&secret]);
    assert_eq!((at, signers), (server.clock.read_now().millis() / 1000, vec![secret.as_str()]));
    assert!(at >= NOON);
    assert_eq!(call.standard_signers(&[&secret]), [secret.as_str()]);
    assert_eq!(
        (call.header("webhook-id"), call.header("webhook-timestamp")),
        (text(&event["id"]), at.to_string())
    );
    // What is sent is what the log shows, byte for byte.
    let listed = tenant.get("events?types=message.received").await;
    let body = String::from_utf8(listed.body.to_vec()).unwrap();
    assert!(body.contains(std::str::from_utf8(&call.body).unwrap()), "{body}");
    let keys = ["account", "created_at", "data", "id", "livemode", "sequence", "type"];
    assert_eq!(keys_of(&event), keys.into());
    let row = until_deliveries(&tenant, "status=delivered", 1).await.remove(0);
    check_object(&row);
    assert_eq!(keys_of(&row), super::DELIVERY_KEYS.into());
    assert_eq!(
        (&row["id"], &row["subscription_id"]),
        (&json!(call.header("X-Kirim-Delivery-Id")), &json!(id))
    );
    assert_eq!((&row["event_id"], &row["next_attempt_at"]), (&event["id"], &json!(null)));
    assert_eq!(row["attempts"].as_array().unwrap().len(), 1);
    let attempt = &row["attempts"][0];
    assert_eq!(keys_of(attempt), ["at", "duration_ms", "error", "status_code"].into());
    assert_eq!((&attempt["status_code"], &attempt["error"]), (&json!(200), &json!(null)));
}

#[tokio::test]
async fn a_subscription_gets_its_types_of_all_its_numbers_from_then_on() {
    let (server, tenant) = stage().await;
    let second = server.second_account(&tenant).await;
    let stranger = server.tenant().await;
    tenant.hears(&from(0), "before").await;
    let receiver = Receiver::start().await;
    let body = json!({"url": receiver.url(), "events": ["message.received", "contact.created"]});
    tenant.api.post("/v1/webhook_subscriptions", &body).await.is(201);
    tenant.hears(&from(0), "after").await;
    second.hears(&from(1), "elsewhere").await;
    stranger.hears(&from(2), "not yours").await;
    let calls = receiver.until(3).await;
    let mut told: Vec<_> = calls
        .iter()
        .map(|call| (call.header("X-Kirim-Event"), text(&call.event()["account"]["phone_number_id"])))
        .collect();
    told.sort();
    let expected =
        [("contact.created", &second.id), ("message.received", &tenant.id), ("message.received", &second.id)];
    assert_eq!(told, expected.map(|(kind, id)| (kind.to_owned(), id.clone())));
    until_deliveries(&tenant, "status=delivered", 3).await;
    assert!(deliveries(&stranger, "").await.is_empty());
    assert_eq!(receiver.count(), 3);
}
