//! A client that makes keys, uses them at every node, and revokes them while they are used.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::session::Client;
use super::setup::{World, text};
use crate::history::{Entry, KeyUse, Write};
use crate::http_client::Ask;
use crate::kabar_server::OPERATOR_TOKEN;

/// Makes, uses and revokes keys until writing ends.
pub async fn cycle_keys(mut client: Client, world: Arc<World>) {
    let mut path = format!("/admin/v1/organizations/{}/api_keys", world.organisation);
    path.shrink_to_fit();
    while client.session.is_writing() {
        let node = client.any_node();
        let write = Write { op: "create_key".to_owned(), ..Write::default() };
        let body = json!({"label": "short-lived"});
        let (_, answer) = client.write(node, "POST", &path, OPERATOR_TOKEN, &body, write).await;
        let made = answer.filter(|answer| answer.status == 201).map(|answer| answer.data());
        let Some(made) = made else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let (id, key) = (text(&made["id"]), text(&made["key"]));
        use_everywhere(&mut client, &id, &key, 6).await;
        // It may be in force at any node by now; it is revoked at one of them.
        let node = client.any_node();
        let write = Write { op: "revoke_key".to_owned(), on: id.clone(), ..Write::default() };
        let revoke = format!("/admin/v1/api_keys/{id}");
        client.write(node, "DELETE", &revoke, OPERATOR_TOKEN, &Value::Null, write).await;
        use_everywhere(&mut client, &id, &key, 16).await;
    }
}

async fn use_everywhere(client: &mut Client, id: &str, key: &str, rounds: usize) {
    for _ in 0..rounds {
        for node in 0..client.node_count() {
            let recorder = client.session.recorder.clone();
            let s = recorder.now();
            let ask = Ask { path: "/v1/me", token: key, ..Ask::default() };
            // A node that is paused answers later; the others are looked at meanwhile.
            let answer = client.connection(node).send_within(&ask, Duration::from_millis(300)).await;
            let st = answer.map_or(0, |answer| answer.status);
            recorder.record(Entry::KeyUse(KeyUse { n: node, key: id.to_owned(), s, e: recorder.now(), st }));
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
}
