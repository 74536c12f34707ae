//! Clients that keep a copy of an account's conversations by `updated_since`, as docs/polling.md shows it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::session::Client;
use super::setup::World;
use crate::history::{Digest, Entry, Poll, Replica};
use crate::http_client::Ask;
use crate::json_rows::{ListPage, parse_instant, record_page};

struct Copy {
    rows: HashMap<String, Digest>,
    since: String,
}

/// Follows an account until reading ends, and gives the copy after a last round.
pub async fn follow(mut client: Client, world: Arc<World>, account: usize) -> Replica {
    let mut copy = Copy { rows: HashMap::new(), since: String::new() };
    while client.session.is_reading() {
        let node = client.any_node();
        let limit = [3, 10, 100][client.any(3)];
        let _failed = sync(&mut client, &world, account, node, limit, &mut copy).await;
        let pause = 5 + client.any(150) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    for node in 0..client.node_count() {
        if sync(&mut client, &world, account, node, 100, &mut copy).await.is_some() {
            break;
        }
    }
    let rows = copy.rows.into_values().collect();
    Replica { c: client.number, a: world.accounts[account].id.clone(), rows }
}

/// One round; `None` when it was broken off, which leaves the instant where it was.
async fn sync(
    client: &mut Client,
    world: &World,
    account: usize,
    node: usize,
    limit: usize,
    copy: &mut Copy,
) -> Option<()> {
    let mut newest = copy.since.clone();
    let mut cursor = None;
    loop {
        let page = ask(client, world, account, node, limit, &copy.since, cursor.as_deref()).await?;
        for (raw, digest) in page.raw.iter().zip(&page.rows) {
            let row: Value = serde_json::from_str(raw).ok()?;
            let at = row["updated_at"].as_str()?;
            if at > newest.as_str() {
                at.clone_into(&mut newest);
            }
            copy.rows.insert(row["id"].as_str()?.to_owned(), *digest);
        }
        cursor = page.cursor;
        if cursor.is_none() {
            copy.since = newest;
            return Some(());
        }
    }
}

async fn ask(
    client: &mut Client,
    world: &World,
    account: usize,
    node: usize,
    limit: usize,
    since: &str,
    cursor: Option<&str>,
) -> Option<ListPage> {
    let id = &world.accounts[account].id;
    let mut query = format!("conversations?limit={limit}");
    if !since.is_empty() {
        query.extend(["&updated_since=", since]);
    }
    if let Some(cursor) = cursor {
        query.extend(["&cursor=", cursor]);
    }
    let path = format!("/v1/{id}/{query}");
    let recorder = client.session.recorder.clone();
    let s = recorder.now();
    let answer = client.ask(node, &Ask { path: &path, token: &world.key, ..Ask::default() }).await;
    let e = recorder.now();
    let mut poll =
        Poll { n: node, a: id.clone(), q: query, s, e, since: parse_instant(since), ..Poll::default() };
    let mut page = None;
    if let Some(answer) = answer {
        poll.st = answer.status;
        if answer.status == 200 {
            page = record_page(&recorder, id, &poll.q, &answer.body);
            poll.b = page.as_ref().map(|page| page.body);
        }
    }
    recorder.record(Entry::Poll(poll));
    page
}
