//! Several nodes on one PostgreSQL: whoever serves an account runs the hooks for its events, and what a
//! plugin keeps is one and the same, wherever it runs.

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::Plugin;
use crate::harness::nodes::{heard_of, nodes, until_known};
use crate::harness::{from, text};

#[tokio::test]
async fn a_plugin_made_at_one_node_runs_where_the_account_is_served() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.hears(&from(0), "before").await;
    let plugin = Plugin::running(&there, &Guest::says("hello")).await;
    let own = Plugin { api: here.api.clone(), ..plugin.clone() };
    until_known(&here, &own.path("")).await;
    here.hears(&from(0), "one").await;
    there.hears(&from(1), "two").await;
    let runs = plugin.until("succeeded", 2).await;
    assert_eq!(own.is_running().await, runs, "both nodes list the same");
    let lines = plugin.get("/logs").await.is(200).rows();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["lines"][0]["message"], "hello");
    // A replay at the node that does not serve the account.
    let replay = format!("/runs/{}/replay", text(&runs[1]["id"]));
    plugin.post(&replay, &json!(null)).await.is(200);
    own.runs_when(|rows| rows[1]["status"] == "succeeded" && rows[1]["attempt"] == 2).await;
    // The log from its beginning: of the events before the plugin was there, too.
    let body = json!({"phone_number_id": here.id, "from_sequence": 1});
    plugin.post("/replay", &body).await.is(200);
    own.until("succeeded", 3).await;
}

#[tokio::test]
async fn what_a_plugin_keeps_is_one_whoever_runs_it() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    // A second number of the same tenant, which the other node serves.
    let there = heard_of(&two, &one.second_account(&here).await).await;
    let plugin = Plugin::running(&here, &Guest::counts_slowly("n")).await;
    let other = Plugin { api: there.api.clone(), ..plugin.clone() };
    until_known(&there, &other.path("")).await;
    for nth in 0..10 {
        here.hears(&from(nth), "hi").await;
        there.hears(&from(nth), "hi").await;
    }
    plugin.until("succeeded", 20).await;
    // What it would write next is what it has counted, and one.
    let tried = json!({"event": {"type": "message.received"}});
    let next = other.post("/test", &tried).await.is(200).data();
    let counted = text(&next["kv_writes"][0]["value"]);
    assert_eq!(counted.as_bytes().first(), Some(&21), "{next}");
}

#[tokio::test]
async fn the_node_that_takes_over_runs_what_was_left() {
    let [mut one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let plugin = Plugin::running(&here, &Guest::counts("n")).await;
    let other = Plugin { api: there.api.clone(), ..plugin.clone() };
    here.hears(&from(0), "one").await;
    plugin.until("succeeded", 1).await;
    plugin.api.patch(&plugin.path(""), &json!({"enabled": false})).await.is(200);
    here.hears(&from(0), "two").await;
    until_known(&there, &other.path("")).await;
    other.row_when(|row| row["enabled"] == false).await;
    one.stop().await;
    other.api.patch(&other.path(""), &json!({"enabled": true})).await.is(200);
    there.hears(&from(0), "three").await;
    let runs = other.until("succeeded", 3).await;
    assert_eq!(runs.len(), 3, "each event once, since nobody died");
}
