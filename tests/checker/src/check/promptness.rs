//! Errors and waits without a cause: an internal error ever, a refusal while nothing is wrong, a request that hangs.

use super::Violation;
use super::index::Index;
use crate::history::{Fault, Micros, Poll, Write};

/// Longest time after a fault until everything answers again, beside the lease: PostgreSQL's bounds of 3 and 4
/// seconds, and a loading of the account on a busy machine.
const RECOVERY: Micros = 9_000_000;
/// The longest that a request may take whatever happens, beside the lease and what it asks to wait.
const ANSWER: Micros = 16_000_000;
/// Longest time until a send reaches WhatsApp while nothing is wrong.
const SEND: Micros = 15_000_000;

struct Exchange<'a> {
    n: usize,
    s: Micros,
    e: Micros,
    st: u16,
    waited: Micros,
    code: &'a str,
    detail: String,
}

/// Holds every answer against the faults around it.
pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let is_suspect = |poll: &&&Poll| poll.st == 0 || poll.st >= 500 || poll.e - poll.s > ANSWER;
    let polls = index.polls.iter().filter(is_suspect).map(|poll| Exchange {
        n: poll.n,
        s: poll.s,
        e: poll.e,
        st: poll.st,
        waited: Micros::from(poll.w) * 1_000_000,
        code: "",
        detail: format!("{poll:?}"),
    });
    let writes = index.writes.iter().map(|write| Exchange {
        n: write.n,
        s: write.s,
        e: write.e,
        st: write.st,
        waited: 0,
        code: &write.code,
        detail: format!("{write:?}"),
    });
    for exchange in polls.chain(writes) {
        violations.extend(judge(index, exchange));
    }
    violations.extend(late_sends(index));
    let ended = index.faults.iter().filter(|fault| fault.kind == "ended-by-itself");
    violations.extend(ended.map(|fault| Violation::new("process-ended", format!("{fault:?}"))));
    violations
}

fn judge(index: &Index<'_>, exchange: Exchange<'_>) -> Option<Violation> {
    let Exchange { n, s, e, st, waited, code, detail } = exchange;
    if st == 500 || code == "internal_error" {
        return Some(Violation::new("internal-error", detail));
    }
    if let Some(hang) = hang(index, n, (s, e), waited, || detail.clone()) {
        return Some(hang);
    }
    let refused = st == 0 || st == 503 || st == 502 || st == 504 || st == 421;
    (refused && !index.is_disturbed(s, e, index.run.lease + RECOVERY))
        .then(|| Violation::new("refused-without-cause", detail))
}

/// A request is answered, or refused, within the lease and the bounds of the database, unless the node itself that
/// was asked is stopped, dead or cut off from its clients.
fn hang(
    index: &Index<'_>,
    node: usize,
    (s, e): (Micros, Micros),
    waited: Micros,
    detail: impl FnOnce() -> String,
) -> Option<Violation> {
    let bound = index.run.lease + ANSWER + waited;
    let to_client = |kind: &str| {
        ["pause", "kill", "stop"].iter().any(|own| kind.starts_with(own)) || kind.contains("client")
    };
    let meets = |fault: &Fault| fault.n == Some(node) && fault.s <= e && s <= fault.e;
    let excused = index.faults.iter().any(|fault| to_client(&fault.kind) && meets(fault));
    (e.saturating_sub(s) > bound && !excused).then(|| Violation::new("hang", detail()))
}

fn late_sends(index: &Index<'_>) -> Vec<Violation> {
    let mut first = std::collections::HashMap::new();
    for call in &index.calls {
        first.entry(call.id.as_str()).or_insert(call.s);
    }
    let late = |write: &&&Write| {
        first.get(write.id.as_str()).is_some_and(|call| {
            *call > write.e + SEND && !index.is_disturbed(write.s, *call, index.run.settle + RECOVERY)
        })
    };
    let graph = |write: &Write| {
        index.faults.iter().any(|fault| {
            fault.kind.contains("graph")
                && fault.s <= write.e + SEND
                && write.s <= fault.e + index.run.settle + SEND
        })
    };
    let sends = index.writes.iter().filter(|write| write.op == "send" && write.is_acknowledged());
    sends
        .filter(late)
        .filter(|write| !graph(write))
        .map(|write| Violation::new("late-send", format!("{write:?}")))
        .collect()
}
