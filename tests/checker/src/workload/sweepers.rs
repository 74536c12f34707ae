//! Clients that go over accounts which are hardly used, so that accounts are loaded and unloaded all the time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::session::Client;
use super::setup::World;
use crate::history::{Entry, Poll, Write};
use crate::http_client::Ask;
use crate::json_rows::record_body;

/// Long enough that an account is unloaded before it is asked for again about every second time.
const PAUSE: Duration = Duration::from_millis(25);

/// Goes over the cold accounts until writing ends.
pub async fn sweep(mut client: Client, world: Arc<World>) {
    while client.session.is_writing() && !world.cold.is_empty() {
        let (account, node) = (client.any(world.cold.len()), client.any_node());
        if client.chance(0.3) {
            rename(&mut client, &world, account, node).await;
        } else {
            look(&mut client, &world, account, node).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Renames the contact of a cold account.
pub async fn rename(client: &mut Client, world: &World, account: usize, node: usize) {
    let account = &world.cold[account];
    let value = format!("c{}", client.session.unique());
    let path = format!("/v1/{}/contacts/{}", account.id, account.contact);
    let write = Write {
        a: account.id.clone(),
        op: "patch_contact".to_owned(),
        on: account.contact.clone(),
        v: value.clone(),
        ..Write::default()
    };
    client.write(node, "PATCH", &path, &world.key, &json!({"name": value}), write).await;
}

/// Reads the contact of a cold account.
pub async fn look(client: &mut Client, world: &World, account: usize, node: usize) {
    let account = &world.cold[account];
    let query = format!("contacts/{}", account.contact);
    let path = format!("/v1/{}/{query}", account.id);
    let recorder = client.session.recorder.clone();
    let s = recorder.now();
    let answer = client.ask(node, &Ask { path: &path, token: &world.key, ..Ask::default() }).await;
    let e = recorder.now();
    let mut poll = Poll { n: node, a: account.id.clone(), q: query, s, e, ..Poll::default() };
    if let Some(answer) = answer {
        poll.st = answer.status;
        answer.header("etag").clone_into(&mut poll.tag);
        poll.b = (answer.status == 200).then(|| record_body(&recorder, &account.id, &poll.q, &answer.body));
    }
    recorder.record(Entry::Poll(poll));
}
