//! The list of messages: filters, bounds in time, order.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Tenant, TestServer, from, incoming, text};

#[tokio::test]
async fn filters_by_conversation_direction_and_status_combine() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "a").await;
    tenant.hears(&from(2), "b").await;
    let wamid = tenant.hears(&from(1), "c").await;
    let sent = tenant.sent(&from(1)).await;
    let conversation = text(&tenant.conversation_with(&from(1)).await["id"]);
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    tenant.post("messages", &read).await.is(200);
    let of = format!("conversation_id={conversation}");
    for (query, rows) in [
        (String::new(), 4),
        (of.clone(), 3),
        ("direction=inbound".into(), 3),
        ("direction=outbound".into(), 1),
        (format!("{of}&direction=inbound"), 2),
        ("status=read".into(), 2),
        ("status=received".into(), 1),
        ("status=sent".into(), 1),
        ("status=failed".into(), 0),
        (format!("{of}&status=received"), 0),
        (format!("{of}&status=read&direction=inbound"), 2),
        ("conversation_id=cnv_00000000000000000000000000".into(), 0),
    ] {
        let page = tenant.get(&format!("messages?{query}")).await;
        assert_eq!(page.rows().len(), rows, "{query}");
        assert_eq!(tenant.all(&format!("messages?{query}&limit=1")).await, page.rows(), "{query}");
    }
    let newest = tenant.get("messages").await.rows().remove(0);
    assert_eq!(newest["id"], sent["id"], "newest first");
    for (bad, param) in [
        ("direction=up", "direction"),
        ("status=unknown", "status"),
        ("conversation_id=1", "conversation_id"),
        ("conversation_id=msg_00000000000000000000000000", "conversation_id"),
        ("created_after=yesterday", "created_after"),
        ("created_before=", "created_before"),
    ] {
        let error = tenant.get(&format!("messages?{bad}")).await.refused(400, "invalid_field_value");
        assert_eq!(error["param"], param, "{bad}");
    }
}

#[tokio::test]
async fn bounds_in_time_are_strict_on_both_sides() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let mut stamps = Vec::new();
    for nth in 0..3 {
        tenant.hears(&from(nth), "x").await;
        stamps.push(text(&tenant.get("messages").await.rows()[0]["created_at"]));
        server.clock.advance_manual(Duration::from_secs(10));
    }
    let [a, b, c] = &stamps[..] else { panic!("three") };
    // Between this millisecond and the next one.
    let just_after = |stamp: &str| stamp.replace('Z', "5Z");
    for (query, expected) in [
        (format!("created_after={a}"), vec![c, b]),
        (format!("created_before={c}"), vec![b, a]),
        (format!("created_after={a}&created_before={c}"), vec![b]),
        (format!("created_after={b}&created_before={b}"), vec![]),
        (format!("created_before={}", just_after(a)), vec![a]),
        (format!("created_after={}", just_after(a)), vec![c, b]),
        (format!("created_after={}", just_after(c)), vec![]),
        ("created_after=2026-06-19T18:00:05+07:00".to_owned(), vec![c, b]),
        ("created_before=2026-06-19T18:00:05%2B07:00".to_owned(), vec![a]),
        (format!("created_after={c}&created_before={a}"), vec![]),
    ] {
        let page = tenant.get(&format!("messages?{query}")).await;
        let found: Vec<String> = page.column("created_at").iter().map(text).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(tenant.all(&format!("messages?{query}&limit=1")).await, page.rows(), "{query}");
    }
}

#[tokio::test]
async fn inbound_messages_of_every_type_are_kept_with_their_object_and_one_line() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let now = tenant.clock.read_now();
    let cases = [
        ("text", json!({"body": "halo"}), "halo"),
        ("image", json!({"id": "1", "mime_type": "image/jpeg", "sha256": "x", "caption": "cat"}), "cat"),
        ("video", json!({"id": "1"}), "[video]"),
        ("audio", json!({"id": "1", "voice": true}), "[audio]"),
        ("document", json!({"id": "1", "filename": "a.pdf"}), "a.pdf"),
        ("sticker", json!({"id": "1", "animated": false}), "[sticker]"),
        ("location", json!({"latitude": -6.2, "longitude": 106.8, "name": "Monas"}), "📍 Monas"),
        ("contacts", json!([{"name": {"formatted_name": "Ani"}}]), "👤 Ani"),
        ("interactive", json!({"type": "button_reply", "button_reply": {"id": "y", "title": "Yes"}}), "Yes"),
        (
            "interactive",
            json!({"type": "list_reply", "list_reply": {"id": "y", "title": "Row", "description": "d"}}),
            "Row",
        ),
        (
            "interactive",
            json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{}"}}),
            "Sent",
        ),
        ("button", json!({"text": "Stop", "payload": "STOP"}), "Stop"),
        ("reaction", json!({"message_id": "wamid.X", "emoji": "❤️"}), "❤️"),
        ("order", json!({"catalog_id": "1", "product_items": [{"quantity": 1}]}), "🛒 1 item"),
        (
            "system",
            json!({"body": "A changed from 1 to 2", "type": "user_changed_number"}),
            "A changed from 1 to 2",
        ),
    ];
    for (kind, object, content) in cases {
        tenant.receives(&[incoming(&from(1), now, kind, object.clone())]).await;
        let row = tenant.get("messages?limit=1").await.rows().remove(0);
        assert_eq!(
            (&row["type"], &row["content"], &row["payload"]),
            (&json!(kind), &json!(content), &object)
        );
        assert_eq!((&row["direction"], &row["status"]), (&json!("inbound"), &json!("received")));
        assert_eq!((&row["from"], &row["to"]), (&json!(format!("+{}", from(1))), &json!(tenant.phone)));
    }
    // What nobody knows is kept whole.
    let odd = incoming(&from(1), now, "hologram", json!({"depth": 3}));
    tenant.receives(std::slice::from_ref(&odd)).await;
    let row = tenant.get("messages?limit=1").await.rows().remove(0);
    assert_eq!((&row["type"], &row["payload"]), (&json!("unsupported"), &odd));
}

#[tokio::test]
async fn an_answer_to_a_message_names_it() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let sent = tenant.sent(&from(1)).await;
    let mut answer = crate::harness::text_from(&from(1), tenant.clock.read_now(), "thanks");
    answer["context"] = json!({"from": "12025550100", "id": sent["message_id"]});
    tenant.receives(&[answer]).await;
    let row = tenant.get("messages?direction=inbound").await.rows().remove(0);
    assert_eq!(
        row["context"],
        json!({"message_id": sent["message_id"], "from": "+12025550100", "forwarded": false,
            "frequently_forwarded": false, "referred_product": null})
    );
    let letter = Tenant::letter(&from(1), "you are welcome");
    tenant.post("messages", &letter).await.is(200);
}
