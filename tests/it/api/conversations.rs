//! Contract, section 4: the list of conversations, its filters and orders, and PATCH.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, from, text};

mod delta_sync;

/// The ids of these rows, in their order.
fn ids(rows: &[Value]) -> Vec<&Value> {
    rows.iter().map(|row| &row["id"]).collect()
}

async fn patch(tenant: &Tenant, conversation: &Value, body: &Value) -> Value {
    tenant.patch(&format!("conversations/{}", text(&conversation["id"])), body).await.is(200).data()
}

#[tokio::test]
async fn a_first_message_makes_contact_and_conversation() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let row = tenant.conversation_with(&from(1)).await;
    assert_eq!(
        (&row["status"], &row["unread_count"], &row["assignee"]),
        (&json!("open"), &json!(1), &json!(null))
    );
    assert_eq!(row["created_at"], row["updated_at"]);
    assert!(row["last_message_at"].is_string() && row["last_inbound_at"].is_string());
    let contact = tenant.get(&format!("contacts/{}", text(&row["contact"]["id"]))).await.data();
    assert_eq!(
        (&contact["phone_number"], &contact["name"]),
        (&row["contact"]["phone_number"], &row["contact"]["name"])
    );
    tenant.hears(&from(1), "anybody?").await;
    let after = tenant.conversation_with(&from(1)).await;
    assert_eq!((&after["id"], &after["unread_count"]), (&row["id"], &json!(2)));
    assert!(text(&after["updated_at"]) > text(&row["updated_at"]));
    assert_eq!(after["created_at"], row["created_at"]);
}

#[tokio::test]
async fn the_list_is_ordered_by_the_last_message_newest_first() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(4).await;
    let list = tenant.get("conversations").await.rows();
    assert_eq!(ids(&list), ids(&rows.iter().rev().cloned().collect::<Vec<_>>()));
    // A new message moves its conversation up, a status patch does not.
    tenant.hears(&from(1), "again").await;
    patch(&tenant, &rows[0], &json!({"status": "pending"})).await;
    let expected = [&rows[1]["id"], &rows[3]["id"], &rows[2]["id"], &rows[0]["id"]];
    assert_eq!(ids(&tenant.get("conversations").await.rows()), expected);
    // What we send counts as well.
    tenant.sends(&from(2)).await;
    assert_eq!(tenant.get("conversations").await.rows()[0]["id"], rows[2]["id"]);
    // With updated_since the last change counts.
    let list = tenant.get("conversations?updated_since=2020-01-01T00:00:00Z").await.rows();
    let stamps: Vec<String> = list.iter().map(|row| text(&row["updated_at"])).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] > pair[1]), "{stamps:?}");
    assert_eq!(list.len(), 4);
}

#[tokio::test]
async fn filters_by_status_and_contact_combine() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(5).await;
    patch(&tenant, &rows[1], &json!({"status": "pending"})).await;
    patch(&tenant, &rows[2], &json!({"status": "resolved"})).await;
    for (status, expected) in [("open", 3), ("pending", 1), ("resolved", 1)] {
        let page = tenant.get(&format!("conversations?status={status}")).await;
        assert_eq!(page.rows().len(), expected, "{status}");
        assert!(page.column("status").iter().all(|found| found == status));
    }
    let contact = text(&rows[2]["contact"]["id"]);
    let of_contact = |more: &str| format!("conversations?contact_id={contact}{more}");
    assert_eq!(ids(&tenant.get(&of_contact("")).await.rows()), [&rows[2]["id"]]);
    assert_eq!(ids(&tenant.get(&of_contact("&status=resolved")).await.rows()), [&rows[2]["id"]]);
    assert!(tenant.get(&of_contact("&status=open")).await.rows().is_empty());
    let since = format!("&updated_since={}", text(&rows[2]["updated_at"]));
    assert_eq!(tenant.get(&of_contact(&since)).await.rows().len(), 1, "it was resolved since");
    for (bad, param) in [
        ("status=closed", "status"),
        ("status=OPEN", "status"),
        ("status=", "status"),
        ("contact_id=1", "contact_id"),
        ("contact_id=cnv_00000000000000000000000000", "contact_id"),
    ] {
        let error = tenant.get(&format!("conversations?{bad}")).await.refused(400, "invalid_field_value");
        assert_eq!(error["param"], param, "{bad}");
    }
    let unknown = "conversations?contact_id=ctc_00000000000000000000000000";
    assert!(tenant.get(unknown).await.rows().is_empty(), "a filter that fits nothing finds nothing");
}

#[tokio::test]
async fn a_patch_changes_status_and_stamps_the_row() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let row = tenant.inbox(1).await.remove(0);
    let mut before = row.clone();
    for status in ["pending", "resolved", "open"] {
        let after = patch(&tenant, &row, &json!({"status": status})).await;
        assert_eq!(after["status"], status);
        assert!(text(&after["updated_at"]) > text(&before["updated_at"]));
        assert_eq!(after["last_message_at"], row["last_message_at"]);
        assert_eq!(tenant.conversation_with(&from(0)).await, after);
        before = after;
    }
    let same = patch(&tenant, &row, &json!({"status": "open"})).await;
    assert_eq!(same, before, "what changes nothing stamps nothing");
}

#[tokio::test]
async fn an_inbound_message_reopens_a_resolved_conversation() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let row = tenant.inbox(1).await.remove(0);
    patch(&tenant, &row, &json!({"status": "resolved"})).await;
    tenant.hears(&from(0), "one more thing").await;
    assert_eq!(tenant.conversation_with(&from(0)).await["status"], "open");
    patch(&tenant, &row, &json!({"status": "resolved"})).await;
    tenant.sends(&from(0)).await;
    assert_eq!(tenant.conversation_with(&from(0)).await["status"], "resolved", "our own word does not");
}

#[tokio::test]
async fn conversations_are_assigned_to_users_and_taken_off_again() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let row = tenant.inbox(1).await.remove(0);
    let user = server.user(&tenant.organisation, "Rani").await;
    let assigned = patch(&tenant, &row, &json!({"assigned_to": user["id"]})).await;
    assert_eq!(assigned["assignee"]["id"], user["id"]);
    assert_eq!(assigned["status"], row["status"]);
    // Absent leaves alone, null takes off.
    let resolved = patch(&tenant, &row, &json!({"status": "resolved"})).await;
    assert_eq!(resolved["assignee"]["id"], user["id"]);
    let both = patch(&tenant, &row, &json!({"status": "open", "assigned_to": null})).await;
    assert_eq!((&both["status"], &both["assignee"]), (&json!("open"), &json!(null)));
    let row_now = tenant.conversation_with(&from(0)).await;
    let path = format!("conversations/{}", text(&row["id"]));
    let unknown = json!({"assigned_to": "usr_00000000000000000000000000"});
    let refusal = tenant.patch(&path, &unknown).await;
    assert!(matches!(refusal.status, 400 | 404), "{refusal:?}");
    assert_eq!(refusal.refusal()["param"], "assigned_to");
    assert_eq!(tenant.conversation_with(&from(0)).await, row_now);
}

#[tokio::test]
async fn a_patch_must_say_something_and_say_it_right() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let row = tenant.inbox(1).await.remove(0);
    let path = format!("conversations/{}", text(&row["id"]));
    for body in [json!({}), json!({"unknown": 1}), json!({"status": null})] {
        let answer = tenant.patch(&path, &body).await;
        let error = answer.refusal();
        assert_eq!(answer.status, 400, "{body} {error}");
    }
    for (body, param) in [
        (json!({"status": "closed"}), "status"),
        (json!({"status": ""}), "status"),
        (json!({"status": 1}), "status"),
        (json!({"status": ["open"]}), "status"),
        (json!({"assigned_to": "rani"}), "assigned_to"),
        (json!({"assigned_to": 7}), "assigned_to"),
        (json!({"assigned_to": {}}), "assigned_to"),
        (json!({"assigned_to": ""}), "assigned_to"),
        (json!({"status": "resolved", "assigned_to": "x"}), "assigned_to"),
    ] {
        let error = tenant.patch(&path, &body).await.refused(400, "invalid_field_value");
        assert_eq!(error["param"], param, "{body}");
    }
    assert_eq!(tenant.conversation_with(&from(0)).await, row, "nothing was written");
}

#[tokio::test]
async fn what_whatsapp_says_about_time_does_not_move_the_inbox() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    // A message that WhatsApp delivers a week late is new to us, yet opens no window.
    let late = kabar_core::domain::time::Timestamp::from_seconds(crate::harness::NOON - 7 * 86_400);
    tenant.receives(&[crate::harness::text_from(&from(1), late, "from last week")]).await;
    let row = tenant.conversation_with(&from(1)).await;
    assert_eq!(row["last_inbound_at"], "2026-06-12T11:00:00.000Z");
    assert!(text(&row["last_message_at"]).starts_with("2026-06-19T11:00"), "{row}");
    let letter = Tenant::letter(&from(1), "hello");
    server.clock.advance_manual(Duration::from_hours(24));
    tenant.post("messages", &letter).await.refused(422, "outside_24h_window");
}

#[tokio::test]
async fn a_conversation_without_messages_stands_last() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201);
    let rows = tenant.get("conversations").await.rows();
    let dated: Vec<bool> = rows.iter().map(|row| row["last_message_at"].is_string()).collect();
    let mut sorted = dated.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(dated, sorted, "nulls last");
}
