//! A short history in which every promise is kept, and the entries to change it with.

use crate::history::{
    Body, Delivery, Entry, Event, Fault, Final, GraphCall, InboundItem, KeyUse, LogPart, Micros, Poll,
    Register, Replica, Row, RunInfo, Write,
};

pub(super) const SECOND: Micros = 1_000_000;
const ACCOUNT: &str = "1";

pub(super) fn row(d: u64, id: &str, at: i64) -> Row {
    let mut row = Row { d, a: ACCOUNT.into(), id: id.into(), at, ..Row::default() };
    match id {
        "ctc_1" => row.f.name = if at < 3000 { "n1" } else { "n2" }.into(),
        "cnv_1" => {
            row.f.name = if at < 3000 { "n1" } else { "n2" }.into();
            (row.f.status, row.f.contact, row.f.unread) = ("open".into(), "ctc_1".into(), Some(1));
        }
        "msg_1" => {
            (row.f.direction, row.f.status, row.f.wamid) =
                ("inbound:text".into(), "received".into(), "wamid.IN1".into());
        }
        _ => {
            let status = if at < 7000 {
                "pending"
            } else if at < 8000 {
                "sent"
            } else {
                "delivered"
            };
            (row.f.direction, row.f.status, row.f.text) =
                ("outbound:text".into(), status.into(), "t1".into());
        }
    }
    if id.starts_with("msg_") {
        row.f.conversation = "cnv_1".into();
    }
    row
}

pub(super) fn body(d: u64, rows: &[u64]) -> Entry {
    Entry::Body(Body { d, a: ACCOUNT.into(), rows: rows.to_vec(), more: false })
}

pub(super) fn poll(n: usize, query: &str, s: Micros, tag: &str, body: u64) -> Poll {
    let e = s + 10_000;
    Poll {
        n,
        a: ACCOUNT.into(),
        q: query.into(),
        s,
        e,
        st: 200,
        tag: tag.into(),
        b: Some(body),
        ..Poll::default()
    }
}

pub(super) fn write(op: &str, on: &str, s: Micros, st: u16) -> Write {
    let a = if ["revoke_key", "patch_subscription", "replay"].contains(&op) { "" } else { ACCOUNT };
    Write { a: a.into(), op: op.into(), on: on.into(), s, e: s + 20_000, st, ..Write::default() }
}

pub(super) fn call(id: &str, text: &str, s: Micros) -> GraphCall {
    let (a, to) = (ACCOUNT.into(), if id == "msg_2" { "62" } else { "63" }.into());
    GraphCall {
        a,
        id: id.into(),
        to,
        kind: "text".into(),
        text: text.into(),
        s,
        e: s,
        taken: true,
        ..GraphCall::default()
    }
}

pub(super) fn inbound(what: &str, wamid: &str, id: &str, second: u64) -> InboundItem {
    let (s, e) = (second * SECOND, second * SECOND + 100_000);
    let (a, what, wamid, id) = (ACCOUNT.into(), what.into(), wamid.into(), id.into());
    InboundItem { a, what, wamid, id, s, e, st: 200, ..InboundItem::default() }
}

pub(super) fn event(seq: i64) -> Event {
    let (row, at) = [("msg_1", 1000), ("ctc_1", 3000), ("msg_2", 5000), ("msg_2", 7000), ("msg_2", 8000)]
        [usize::try_from(seq - 1).unwrap()];
    let (id, kind, contact) = (format!("evt_{seq}"), "any".into(), "ctc_1".into());
    Event { a: ACCOUNT.into(), seq, d: 200 + seq.unsigned_abs(), id, kind, contact, row: row.into(), at }
}

pub(super) fn delivery(seq: i64, s: Micros) -> Delivery {
    let Event { a, d, id, contact, .. } = event(seq);
    let (sub, t) = ("all".into(), i64::try_from(s / SECOND).unwrap());
    let delivery = format!("dlv_{seq}");
    Delivery {
        sub,
        event: id,
        delivery,
        a,
        seq,
        d,
        contact,
        t,
        signed: true,
        s,
        e: s,
        st: 200,
        ..Delivery::default()
    }
}

pub(super) fn fault(kind: &str, n: Option<usize>, from: u64, to: u64) -> Entry {
    Entry::Fault(Fault { kind: kind.into(), n, s: from * SECOND, e: to * SECOND })
}

/// A version of the conversation that no write acknowledged.
pub(super) fn add_later_version(history: &mut Vec<Entry>) {
    history.push(Entry::Row(row(10, "cnv_1", 11_000)));
    history.push(body(108, &[10]));
    for entry in history {
        match entry {
            Entry::Replica(replica) => replica.rows = vec![10],
            Entry::Final(list) if list.list == "conversations" => list.rows = vec![10],
            _ => {}
        }
    }
}

fn acknowledged() -> Vec<Entry> {
    let rename = write("patch_contact", "ctc_1", 3 * SECOND, 200);
    let send = write("send", "62", 5 * SECOND, 200);
    let (first, second) = (
        write("patch_subscription", "w/url", 9 * SECOND, 200),
        write("patch_subscription", "w/url", 11 * SECOND, 200),
    );
    vec![
        Entry::Write(Write { v: "n2".into(), r: Some(2), id: "ctc_1".into(), ..rename }),
        Entry::Write(Write { v: "t1".into(), r: Some(6), id: "msg_2".into(), key: "k1".into(), ..send }),
        Entry::Write(write("revoke_key", "key_1", 10 * SECOND, 204)),
        Entry::Write(write("replay", "dlv_1", 10 * SECOND, 200)),
        Entry::Write(Write { v: "u1".into(), ..first }),
        Entry::Write(Write { v: "u2".into(), ..second }),
    ]
}

fn observed() -> Vec<Entry> {
    let list = "conversations?limit=100";
    let part = LogPart { a: ACCOUNT.into(), ordered: true, st: 200, seen: 5, ..LogPart::default() };
    let (from, to) = (9_700_000, 9_800_000);
    vec![
        Entry::Poll(poll(0, list, 2 * SECOND, "T1", 101)),
        Entry::Poll(poll(1, list, 3_100_000, "T2", 102)),
        Entry::Poll(poll(1, list, 9 * SECOND, "T3", 103)),
        Entry::Poll(Poll { st: 304, ..poll(0, list, 9_500_000, "T3", 103) }),
        Entry::Poll(poll(0, "messages?limit=25", 8_500_000, "M3", 105)),
        Entry::Poll(Poll {
            since: 1000,
            ..poll(1, "conversations?limit=100&updated_since=1", 9_600_000, "", 106)
        }),
        Entry::Log(LogPart { first: 1, last: 5, count: 5, s: from, e: to, ..part.clone() }),
        Entry::Log(LogPart { n: 1, after: 5, s: 10 * SECOND, e: 10_100_000, ..part }),
        Entry::KeyUse(KeyUse { n: 0, key: "key_1".into(), s: 9 * SECOND, e: 9 * SECOND, st: 200 }),
        Entry::KeyUse(KeyUse { n: 1, key: "key_1".into(), s: 12 * SECOND, e: 12 * SECOND, st: 401 }),
        Entry::Register(Register {
            n: 1,
            on: "w/url".into(),
            v: "u2".into(),
            s: 12 * SECOND,
            e: 12 * SECOND,
        }),
    ]
}

fn outside() -> Vec<Entry> {
    let template = GraphCall { kind: "template".into(), ..call("msg_4", "", 7 * SECOND) };
    let mut entries = vec![
        Entry::Inbound(inbound("message", "wamid.IN1", "", 1)),
        Entry::Call(call("msg_2", "t1", 5_500_000)),
        Entry::Call(GraphCall { taken: false, ..call("msg_3", "window 1", 6 * SECOND) }),
        Entry::Call(template),
        Entry::Inbound(inbound("sent", "OUT1", "msg_2", 7)),
        Entry::Inbound(inbound("delivered", "OUT1", "msg_2", 8)),
    ];
    for (seq, second) in [(1, 1), (2, 3), (3, 5), (4, 7), (5, 8)] {
        entries.push(Entry::Event(event(seq)));
        entries.push(Entry::Delivery(delivery(seq, second * SECOND + 200_000)));
    }
    entries.push(Entry::Delivery(delivery(1, 10_500_000)));
    entries
}

/// The clean history.
pub(super) fn clean_history() -> Vec<Entry> {
    let (lease, settle) = (3 * SECOND, 8 * SECOND);
    let mut history = vec![Entry::Run(RunInfo { seed: 1, nodes: 2, lease, settle, ..RunInfo::default() })];
    let rows = [
        (1, "ctc_1", 1000),
        (2, "ctc_1", 3000),
        (3, "cnv_1", 1000),
        (4, "cnv_1", 3000),
        (5, "msg_1", 1000),
        (6, "msg_2", 5000),
        (7, "msg_2", 7000),
        (8, "msg_2", 8000),
        (9, "cnv_1", 5000),
    ];
    history.extend(rows.map(|(d, id, at)| Entry::Row(row(d, id, at))));
    let bodies: [(u64, &[u64]); 8] = [
        (101, &[3]),
        (102, &[4]),
        (103, &[9]),
        (104, &[5]),
        (105, &[8, 5]),
        (106, &[9]),
        (107, &[]),
        (110, &[2]),
    ];
    history.extend(bodies.map(|(d, rows)| body(d, rows)));
    history.extend(acknowledged());
    history.extend(observed());
    history.extend(outside());
    history.push(fault("kill", Some(1), 20, 22));
    history.push(Entry::Quiet { at: 30 * SECOND });
    history.push(Entry::Replica(Replica { c: 9, a: ACCOUNT.into(), rows: vec![9] }));
    for n in 0..2 {
        let lists: [(&str, &[u64]); 3] = [("conversations", &[9]), ("contacts", &[2]), ("messages", &[8, 5])];
        history.extend(lists.map(|(list, rows)| {
            Entry::Final(Final { n, a: ACCOUNT.into(), list: list.into(), rows: rows.to_vec() })
        }));
    }
    history
}
