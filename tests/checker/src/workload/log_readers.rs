//! Clients that read an account's log from its beginning: by GET, held at its end, and by streams.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::session::Client;
use super::setup::World;
use crate::history::{Entry, LogPart};
use crate::http_client::Ask;
use crate::json_rows::{read_log, record_event};

/// How long a stream is read before the next one is opened at another node.
const STREAM: Duration = Duration::from_secs(8);

/// Reads a log until reading ends.
pub async fn read(mut client: Client, world: Arc<World>, account: usize) {
    let id = &world.accounts[account].id;
    let mut after = 0;
    while client.session.is_reading() {
        let node = client.any_node();
        match read_part(&mut client, id, &world.key, node, after, 2).await {
            Some(part) => after = part.seen.max(after),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Reads one part and records it; `None` when there is no good answer.
pub async fn read_part(
    client: &mut Client,
    account: &str,
    key: &str,
    node: usize,
    after: i64,
    wait: u32,
) -> Option<LogPart> {
    let path = format!("/v1/{account}/events?after={after}&limit=100");
    let prefer = format!("wait={wait}");
    let headers = [("Prefer", prefer.as_str())];
    let headers = if wait > 0 { &headers[..] } else { &[] };
    let recorder = client.session.recorder.clone();
    let s = recorder.now();
    let answer = client.ask(node, &Ask { path: &path, token: key, headers, ..Ask::default() }).await;
    let e = recorder.now();
    let mut part =
        LogPart { n: node, a: account.to_owned(), after, s, e, ordered: true, ..LogPart::default() };
    let mut read = None;
    if let Some(answer) = answer {
        part.st = answer.status;
        if let Some((events, seen, more)) = read_log(&answer.body).filter(|_| answer.status == 200) {
            (part.seen, part.more) = (seen, more);
            for raw in events {
                add_event(&mut part, record_event(&recorder, account, &raw).seq);
            }
            read = Some(part.clone());
        }
    }
    recorder.record(Entry::Log(part));
    read
}

fn add_event(part: &mut LogPart, seq: i64) {
    part.ordered &= part.count == 0 || seq == part.last + 1;
    if part.count == 0 {
        part.first = seq;
    }
    (part.last, part.count) = (seq, part.count + 1);
}

/// Reads a log by streams until reading ends.
pub async fn stream(mut client: Client, world: Arc<World>, account: usize) {
    let id = world.accounts[account].id.clone();
    let mut after = 0;
    while client.session.is_reading() {
        let node = client.any_node();
        after = read_stream(&mut client, &id, &world.key, node, after).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn read_stream(client: &mut Client, account: &str, key: &str, node: usize, after: i64) -> i64 {
    let path = format!("/v1/{account}/events/stream?after={after}");
    let recorder = client.session.recorder.clone();
    let s = recorder.now();
    let ask = Ask { path: &path, token: key, ..Ask::default() };
    let mut part = LogPart {
        n: node,
        a: account.to_owned(),
        stream: true,
        after,
        s,
        ordered: true,
        ..LogPart::default()
    };
    if let Some((status, mut body)) = client.connection(node).open(&ask).await {
        part.st = status;
        let (until, mut pending) = (Instant::now() + STREAM, Vec::new());
        while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
            pending.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(raw) = line.strip_prefix("data:") {
                    add_event(&mut part, record_event(&recorder, account, raw.trim()).seq);
                }
            }
        }
    }
    part.e = recorder.now();
    let last = part.last.max(after);
    recorder.record(Entry::Log(part));
    last
}
