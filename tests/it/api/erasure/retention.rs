//! Messages that are older than the retention of messages are removed, with what shows them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_unmarked, log};
use crate::harness::{PAGE_LIFE, TestServer, database, from, manual_clock, text, until};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn messages_are_removed_when_their_days_are_over() {
    let mut server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.set("KABAR_RETENTION__MESSAGES_DAYS", "3");
    })
    .await;
    let tenant = server.tenant().await;
    let author = from(0);
    for nth in 0..5 {
        tenant.hears(&author, &format!("erased-inbound {nth}")).await;
    }
    let sent = tenant.sent(&author).await;
    let before = tenant.conversation_with(&author).await;
    assert_eq!(before["unread_count"], 5);
    server.clock.advance_manual(2 * DAY);
    tenant.hears(&author, "on the second day").await;
    let tail = format!("messages?limit=100&conversation_id={}", text(&before["id"]));
    let list = tenant.get(&tail).await;
    assert_eq!(list.rows().len(), 7);
    let count = log(&tenant).await.len();

    server.clock.advance_manual(DAY + Duration::from_mins(1));
    until(async || {
        server.clock.advance_manual(PAGE_LIFE);
        tenant.get(&tail).await.rows().len() == 1
    })
    .await;
    tenant.get_if(&tail, &list.etag()).await.is(200);
    tenant.get(&format!("messages/{}", text(&sent["id"]))).await.refused(404, "resource_not_found");
    // The conversation stays, and counts what is there.
    let after = tenant.conversation_with(&author).await;
    assert_eq!((&after["id"], &after["unread_count"]), (&before["id"], &json!(1)));
    let events = log(&tenant).await;
    let shown = |event: &&Value| event["type"] == "message.received" && event["data"] != json!({});
    assert_eq!(events.iter().filter(shown).count(), 1);
    assert!(events.len() > count, "the conversation's change is told");
    server.stop().await;
    assert_unmarked(&database::dump(&server.database_url()).await, "the database");
}
