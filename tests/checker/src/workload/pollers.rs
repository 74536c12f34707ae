//! Clients that poll: lists, filtered lists, single rows, with and without a tag, and held polls.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::session::Client;
use super::setup::World;
use crate::history::{Digest, Entry, Poll};
use crate::http_client::Ask;
use crate::json_rows::record_body;

/// Tags by account and query, each with the body that it stands for.
type Tags = HashMap<(usize, String), (String, Digest)>;

/// Tags that a client keeps: single messages come and go.
const TAGS: usize = 400;

/// Polls until reading ends.
pub async fn poll(mut client: Client, world: Arc<World>, per_second: u64) {
    let mut tags = Tags::new();
    let pause = Duration::from_micros(1_000_000_u64.checked_div(per_second).unwrap_or_default());
    while client.session.is_reading() {
        // A few polls at one node and account, as a screen would.
        let (node, account) = (client.any_node(), client.any(world.accounts.len()));
        for _ in 0..8 {
            let began = Instant::now();
            let query = any_query(&mut client, &world, account);
            let conditional = client.chance(0.75);
            let status = ask(&mut client, &world, &mut tags, node, account, query, conditional, 0).await;
            if status == 0 || status >= 500 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                break;
            }
            tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
        }
        if tags.len() > TAGS {
            tags.clear();
        }
    }
}

/// Polls that are held, until reading ends.
pub async fn long_poll(mut client: Client, world: Arc<World>) {
    let mut tags = Tags::new();
    while client.session.is_reading() {
        let (node, account) = (client.any_node(), client.any(world.accounts.len()));
        let query = ["conversations?limit=100", "messages?limit=25"][client.any(2)].to_owned();
        let status = ask(&mut client, &world, &mut tags, node, account, query, true, 4).await;
        if status == 0 || status >= 500 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn any_query(client: &mut Client, world: &World, account: usize) -> String {
    let account = &world.accounts[account];
    let pick = client.any(100);
    let nth = client.any(1000);
    let of = |rows: &[String]| rows.get(nth % rows.len().max(1)).cloned().unwrap_or_default();
    match pick {
        0..30 => "conversations?limit=100".to_owned(),
        30..36 => "conversations?limit=5".to_owned(),
        36..42 => "conversations?status=open&limit=25".to_owned(),
        42..58 => format!("conversations/{}", of(&account.conversations.lock().unwrap())),
        58..64 => "contacts?limit=100".to_owned(),
        64..74 => {
            let contacts = account.contacts.lock().unwrap();
            format!("contacts/{}", contacts[nth % contacts.len()].0)
        }
        74..84 => "messages?limit=25".to_owned(),
        _ => match account.messages.lock().unwrap().iter().nth(nth % 12) {
            Some(id) => format!("messages/{id}"),
            None => "messages?limit=5".to_owned(),
        },
    }
}

#[expect(clippy::too_many_arguments, reason = "one place that asks and records")]
async fn ask(
    client: &mut Client,
    world: &World,
    tags: &mut Tags,
    node: usize,
    account: usize,
    query: String,
    conditional: bool,
    wait: u32,
) -> u16 {
    let id = &world.accounts[account].id;
    let path = format!("/v1/{id}/{query}");
    let known = if conditional { tags.get(&(account, query.clone())).cloned() } else { None };
    let prefer = format!("wait={wait}");
    let mut headers = Vec::new();
    if let Some((tag, _)) = &known {
        headers.push(("If-None-Match", tag.as_str()));
        if wait > 0 {
            headers.push(("Prefer", prefer.as_str()));
        }
    }
    let recorder = client.session.recorder.clone();
    let s = recorder.now();
    let answer =
        client.ask(node, &Ask { path: &path, token: &world.key, headers: &headers, ..Ask::default() }).await;
    let e = recorder.now();
    let mut poll = Poll { n: node, a: id.clone(), q: query, s, e, ..Poll::default() };
    if known.is_some() {
        poll.w = wait;
    }
    if let Some(answer) = answer {
        poll.st = answer.status;
        answer.header("etag").clone_into(&mut poll.tag);
        if answer.status == 200 {
            let body = record_body(&recorder, id, &poll.q, &answer.body);
            poll.b = Some(body);
            if !poll.tag.is_empty() {
                tags.insert((account, poll.q.clone()), (poll.tag.clone(), body));
            }
        } else if answer.status == 304 {
            poll.b = known.map(|(_, body)| body);
        }
    }
    let status = poll.st;
    recorder.record(Entry::Poll(poll));
    status
}
