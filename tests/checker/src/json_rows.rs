//! Reads rows, bodies and events out of answers, and records those that are new.
//!
//! Invariant: the digest of an answer covers its `data` and nothing of the envelope: two answers with the same
//! rows have the same digest whatever their `request_id` and cursor.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::history::{Body, Digest, Entry, Event, Fields, Row};
use crate::recorder::{Recorder, digest};

/// Milliseconds since 1970 of `2026-06-19T11:00:00.000Z`; 0 for anything else.
pub fn parse_instant(text: &str) -> i64 {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<i64>().ok());
    let parts = (number(0, 4), number(5, 7), number(8, 10), number(11, 13), number(14, 16), number(17, 19));
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = parts else {
        return 0;
    };
    let millis = number(20, 23).unwrap_or(0);
    // Days from 1970 by Howard Hinnant's `days_from_civil`.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis
}

/// The bytes of `data` in an answer, up to what follows it in the envelope.
fn data_of(body: &[u8]) -> &[u8] {
    let find = |mark: &[u8]| body.windows(mark.len()).rposition(|part| part == mark);
    let end = find(b",\"has_more\":").or_else(|| find(b",\"request_id\":")).unwrap_or(body.len());
    &body[..end]
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn fields(row: &Value) -> Fields {
    match row["object"].as_str().unwrap_or_default() {
        "conversation" => Fields {
            name: text(row, "/contact/name"),
            status: text(row, "/status"),
            contact: text(row, "/contact/id"),
            text: text(row, "/assignee/id"),
            unread: row["unread_count"].as_i64(),
            ..Fields::default()
        },
        "contact" => Fields { name: text(row, "/name"), ..Fields::default() },
        _ => Fields {
            status: text(row, "/status"),
            text: text(row, "/content"),
            direction: format!("{}:{}", text(row, "/direction"), text(row, "/type")),
            wamid: text(row, "/message_id"),
            contact: text(row, "/contact_id"),
            conversation: text(row, "/conversation_id"),
            ..Fields::default()
        },
    }
}

/// Records a row, unless it is known.
pub fn record_row(recorder: &Recorder, account: &str, raw: &str) -> Digest {
    let d = digest("row", raw.as_bytes());
    if recorder.is_new(d) {
        let row: Value = serde_json::from_str(raw).unwrap_or_default();
        let at = parse_instant(row["updated_at"].as_str().unwrap_or_default());
        let id = text(&row, "/id");
        recorder.record(Entry::Row(Row { d, a: account.to_owned(), id, at, f: fields(&row) }));
    }
    d
}

#[derive(serde::Deserialize)]
struct ListEnvelope<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    last_sequence: i64,
}

#[derive(serde::Deserialize)]
struct SingleEnvelope<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// What an answer holds.
#[derive(Debug, Default, Clone)]
pub struct ListPage {
    /// The digest of its body.
    pub body: Digest,
    /// The digests of its rows.
    pub rows: Vec<Digest>,
    /// The rows' JSON; empty when the body was known already and was not read.
    pub raw: Vec<String>,
    /// `next_cursor`.
    pub cursor: Option<String>,
    /// `last_sequence`.
    pub last_sequence: i64,
    /// `has_more`.
    pub more: bool,
}

/// Records a body by its digest; reads it only if it is new.
pub fn record_body(recorder: &Recorder, account: &str, query: &str, body: &[u8]) -> Digest {
    let d = body_digest(account, query, body);
    if recorder.is_new(d) {
        let _known = read_page(recorder, account, query, body, true);
    }
    d
}

fn body_digest(account: &str, query: &str, body: &[u8]) -> Digest {
    let kind = query.split(['?', '/']).next().unwrap_or_default();
    digest(account, digest(kind, data_of(body)).to_be_bytes().as_slice())
}

/// Reads a body whole and records it and its rows.
pub fn record_page(recorder: &Recorder, account: &str, query: &str, body: &[u8]) -> Option<ListPage> {
    let new = recorder.is_new(body_digest(account, query, body));
    read_page(recorder, account, query, body, new)
}

fn read_page(recorder: &Recorder, account: &str, query: &str, body: &[u8], new: bool) -> Option<ListPage> {
    let mut page = ListPage { body: body_digest(account, query, body), ..ListPage::default() };
    if let Ok(list) = serde_json::from_slice::<ListEnvelope<'_>>(body) {
        page.raw = list.data.iter().map(|raw| raw.get().to_owned()).collect();
        (page.more, page.cursor, page.last_sequence) = (list.has_more, list.next_cursor, list.last_sequence);
    } else {
        let single = serde_json::from_slice::<SingleEnvelope<'_>>(body).ok()?;
        page.raw.push(single.data.get().to_owned());
    }
    page.rows = page.raw.iter().map(|raw| record_row(recorder, account, raw)).collect();
    if new {
        let rows = page.rows.clone();
        recorder.record(Entry::Body(Body { d: page.body, a: account.to_owned(), rows, more: page.more }));
    }
    Some(page)
}

/// The `data` of a single answer as it came, for the digest of its row.
pub fn single_row(recorder: &Recorder, account: &str, body: &[u8]) -> Option<(Digest, String)> {
    let single = serde_json::from_slice::<SingleEnvelope<'_>>(body).ok()?;
    let id = text(&serde_json::from_str(single.data.get()).ok()?, "/id");
    Some((record_row(recorder, account, single.data.get()), id))
}

/// The envelope of a part of the log: its events' JSON, `last_sequence`, `has_more`.
pub fn read_log(body: &[u8]) -> Option<(Vec<String>, i64, bool)> {
    let list = serde_json::from_slice::<ListEnvelope<'_>>(body).ok()?;
    let raw = list.data.iter().map(|raw| raw.get().to_owned()).collect();
    Some((raw, list.last_sequence, list.has_more))
}

/// Records an event and gives it back.
pub fn record_event(recorder: &Recorder, account: &str, raw: &str) -> Event {
    let event: Value = serde_json::from_str(raw).unwrap_or_default();
    let row = ["message", "conversation", "contact"].iter().find_map(|kind| event["data"].get(*kind));
    let row = row.cloned().unwrap_or_default();
    let contact = match row["object"].as_str() {
        Some("message") => text(&row, "/contact_id"),
        Some("conversation") => text(&row, "/contact/id"),
        _ => text(&row, "/id"),
    };
    let event = Event {
        a: account.to_owned(),
        seq: event["sequence"].as_i64().unwrap_or_default(),
        d: digest("event", raw.as_bytes()),
        id: text(&event, "/id"),
        kind: text(&event, "/type"),
        contact,
        row: text(&row, "/id"),
        at: parse_instant(row["updated_at"].as_str().unwrap_or_default()),
    };
    if recorder.is_new(event.d) {
        recorder.record(Entry::Event(event.clone()));
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_milliseconds_since_1970() {
        assert_eq!(parse_instant("1970-01-01T00:00:00.000Z"), 0);
        assert_eq!(parse_instant("2026-07-01T00:00:00.007Z"), 1_782_864_000_007);
        assert_eq!(parse_instant("soon"), 0);
    }

    #[test]
    fn a_digest_covers_data_alone() {
        let one = br#"{"data":[{"id":"a"}],"has_more":false,"next_cursor":null,"request_id":"req_1"}"#;
        let two = br#"{"data":[{"id":"a"}],"has_more":false,"next_cursor":null,"request_id":"req_2"}"#;
        let other = br#"{"data":[{"id":"b"}],"has_more":false,"next_cursor":null,"request_id":"req_1"}"#;
        let of = |body| body_digest("1", "contacts?limit=1", body);
        assert_eq!(of(one.as_slice()), of(two.as_slice()));
        assert_ne!(of(one.as_slice()), of(other.as_slice()));
        assert_eq!(data_of(br#"{"data":{"id":"a"},"request_id":"req_1"}"#), br#"{"data":{"id":"a"}"#);
    }
}
