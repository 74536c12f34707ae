//! Hand-written histories: a clean one, and for each kind of violation the clean one with one thing changed.

mod clean;

use std::collections::BTreeSet;

use super::check_history;
use crate::history::{Delivery, Entry, Fault, GraphCall, InboundItem, LogPart, Poll, Row, Write};
use clean::{SECOND, call, clean_history, delivery, fault, poll, row, write};

/// The kinds of violations of the clean history after a change.
fn kinds_after(change: impl FnOnce(&mut Vec<Entry>)) -> BTreeSet<&'static str> {
    let mut history = clean_history();
    change(&mut history);
    check_history(&history).violations.into_iter().map(|violation| violation.kind).collect()
}

/// Asserts that a change is flagged as this kind and as nothing else.
#[track_caller]
fn flagged(kind: &'static str, change: impl FnOnce(&mut Vec<Entry>)) {
    assert_eq!(kinds_after(change), BTreeSet::from([kind]));
}

/// Asserts that a change is flagged as this kind, whatever else it breaks.
#[track_caller]
fn flagged_also(kind: &'static str, change: impl FnOnce(&mut Vec<Entry>)) {
    let kinds = kinds_after(change);
    assert!(kinds.contains(kind), "{kinds:?}");
}

/// Asserts that a change is allowed.
#[track_caller]
fn allowed(change: impl FnOnce(&mut Vec<Entry>)) {
    assert_eq!(kinds_after(change), BTreeSet::new());
}

fn push(entry: Entry) -> impl FnOnce(&mut Vec<Entry>) {
    move |history| history.push(entry)
}

macro_rules! each {
    ($history:expr, $variant:ident, $change:expr) => {
        for entry in $history.iter_mut() {
            if let Entry::$variant(inner) = entry {
                ($change)(inner);
            }
        }
    };
}

#[test]
fn a_clean_history_has_no_violation() {
    let verdict = check_history(&clean_history());
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.counts["polls"], 8);
    assert_eq!(verdict.availability.kills, 1);
}

#[test]
fn an_answer_older_than_an_acknowledged_write_is_flagged() {
    let old = |st| Entry::Poll(Poll { st, ..poll(1, "conversations?limit=100", 5 * SECOND, "T1", 101) });
    flagged("stale-read", push(old(200)));
    flagged("false-304", push(old(304)));
    // One that began before the acknowledgement may show either.
    let early = Poll { s: 3 * SECOND, e: 9 * SECOND, ..poll(1, "conversations?limit=100", 0, "T1", 101) };
    allowed(push(Entry::Poll(early)));
    flagged("stale-read", push(Entry::Poll(poll(0, "messages?limit=25", 9 * SECOND, "M1", 104))));
    flagged("delta-skips-row", |history| {
        let query = "conversations?limit=100&updated_since=3";
        history.push(Entry::Poll(Poll { since: 3000, ..poll(1, query, 9 * SECOND, "", 107) }));
    });
}

#[test]
fn a_rename_before_the_first_message_says_nothing_about_the_conversation() {
    allowed(|history| {
        history.push(Entry::Row(row(96, "ctc_1", 500)));
        let rename = write("patch_contact", "ctc_1", 500_000, 200);
        history.push(Entry::Write(Write { v: "n1".to_owned(), r: Some(96), ..rename }));
        history.push(Entry::Event(crate::history::Event { seq: 6, at: 500, d: 206, ..clean::event(2) }));
        history.push(Entry::Delivery(Delivery { seq: 6, d: 206, ..delivery(2, 9 * SECOND) }));
        history.push(clean::body(111, &[]));
        history.push(Entry::Poll(poll(0, "conversations?limit=100", 700_000, "T0", 111)));
    });
}

#[test]
fn a_state_that_another_view_has_shown_must_show_within_ten_seconds() {
    let newer = || Entry::Poll(poll(0, "conversations?limit=100", 12 * SECOND, "T4", 108));
    let seen = |history: &mut Vec<Entry>, after| {
        clean::add_later_version(history);
        history.push(newer());
        history.push(Entry::Poll(poll(1, "conversations?limit=100", 12 * SECOND + after, "T3", 103)));
    };
    flagged("stale-read", |history| seen(history, 11 * SECOND));
    allowed(|history| seen(history, 9 * SECOND));
}

#[test]
fn a_held_poll_that_is_not_woken_is_flagged() {
    let held = Poll { w: 9, st: 304, e: 8 * SECOND, ..poll(1, "conversations?limit=100", SECOND, "T1", 101) };
    flagged("held-poll-not-woken", push(Entry::Poll(held)));
}

#[test]
fn one_version_is_one_state_and_one_tag_one_body() {
    let other = || Entry::Row(Row { d: 99, ..row(4, "cnv_1", 3000) });
    flagged("two-states-of-one-version", |history| history.extend([other(), clean::body(112, &[99])]));
    // The answer to a change may show what a second change of the same commit replaced.
    allowed(push(other()));
    flagged(
        "tag-of-two-bodies",
        push(Entry::Poll(poll(0, "conversations?limit=100", 4 * SECOND, "T1", 102))),
    );
    flagged("torn-page", push(clean::body(109, &[8, 3])));
}

#[test]
fn a_write_without_effect_and_one_that_is_undone_are_flagged() {
    flagged_also("write-without-effect", |history| {
        each!(history, Row, |row: &mut Row| if row.d == 2 {
            row.f.name = "n1".to_owned();
        });
    });
    let mut undone = row(98, "ctc_1", 9000);
    undone.f.name = "n1".to_owned();
    flagged("lost-write", push(Entry::Row(undone.clone())));
    // Of two renames in one commit either may be the last.
    allowed(|history| {
        history.push(Entry::Row(Row { d: 95, f: undone.f.clone(), ..row(2, "ctc_1", 3000) }));
        let rename =
            Write { v: "n1".to_owned(), r: Some(95), ..write("patch_contact", "ctc_1", 3 * SECOND, 200) };
        history.push(Entry::Write(rename));
    });
    // A rename without an answer may be what did it.
    allowed(|history| {
        history.push(Entry::Row(undone));
        history.push(fault("kill", Some(0), 14, 16));
        let unknown = Write { v: "n1".to_owned(), ..write("patch_contact", "ctc_1", 15 * SECOND, 0) };
        history.push(Entry::Write(unknown));
    });
    let lost = Write { id: "msg_9".to_owned(), ..write("send", "62", 6 * SECOND, 200) };
    flagged_also("lost-write", push(Entry::Write(lost)));
    flagged("patch-undone", |history| {
        each!(history, Register, |read: &mut crate::history::Register| read.v = "u1".to_owned());
    });
}

#[test]
fn nodes_and_replicas_that_differ_in_the_end_are_flagged() {
    flagged("nodes-differ", |history| {
        each!(history, Final, |list: &mut crate::history::Final| if list.n == 1 && list.list == "contacts" {
            list.rows = vec![1];
        });
    });
    flagged("replica-differs", |history| {
        each!(history, Replica, |replica: &mut crate::history::Replica| replica.rows = vec![4]);
    });
    flagged("inbound-message-lost", |history| {
        let item = clean::inbound("message", "wamid.IN2", "", 6);
        history.push(Entry::Inbound(item));
    });
    flagged("unread-count-wrong", |history| {
        each!(history, Row, |row: &mut Row| if row.d == 5 {
            row.f.status = "read".to_owned();
        });
    });
}

#[test]
fn gaps_changes_and_old_ends_of_logs_are_flagged() {
    flagged("gap-in-log", |history| {
        each!(history, Log, |part: &mut LogPart| if part.count > 0 {
            part.first = 2;
        });
    });
    flagged_also("gap-in-log", |history| {
        history.retain(|entry| !matches!(entry, Entry::Event(event) if event.seq == 4));
    });
    flagged("event-changed", push(Entry::Event(crate::history::Event { d: 999, ..clean::event(2) })));
    flagged("stale-log", |history| {
        each!(history, Log, |part: &mut LogPart| if part.count == 0 {
            (part.after, part.seen) = (3, 3);
        });
    });
    flagged("change-without-event", |history| {
        each!(history, Event, |event: &mut crate::history::Event| if event.seq == 2 {
            event.at = 2999;
        });
    });
}

#[test]
fn statuses_that_fall_or_get_lost_are_flagged() {
    let mut fallen = row(97, "msg_2", 9000);
    "sent".clone_into(&mut fallen.f.status);
    flagged("status-reversed", push(Entry::Row(fallen)));
    flagged("status-lost", |history| {
        history.push(Entry::Inbound(clean::inbound("read", "OUT1", "msg_2", 9)));
    });
    let unanswered = InboundItem { st: 0, ..clean::inbound("read", "OUT1", "msg_2", 9) };
    allowed(push(Entry::Inbound(unanswered)));
}

#[test]
fn sends_that_are_lost_or_doubled_are_flagged() {
    flagged_also("send-lost", |history| {
        history.retain(|entry| !matches!(entry, Entry::Call(call) if call.id == "msg_2"));
    });
    flagged("sent-twice-after-echo", push(Entry::Call(call("msg_2", "t1", 20 * SECOND))));
    flagged("sent-twice-before-settle", push(Entry::Call(call("msg_2", "t1", 6 * SECOND))));
    let refused = |history: &mut Vec<Entry>, at| {
        history.push(Entry::Call(GraphCall { taken: false, ..call("msg_3", "window 1", at) }));
    };
    flagged("refused-send-repeated", |history| refused(history, 20 * SECOND));
    // The refusal may have been lost with the process that heard it.
    allowed(|history| {
        refused(history, 20 * SECOND);
        let Some(Entry::Call(first)) =
            history.iter().find(|entry| matches!(entry, Entry::Call(call) if call.id == "msg_3"))
        else {
            panic!("it was sent before")
        };
        let (kind, s, e) = ("kill".into(), first.e, first.e + SECOND);
        history.push(Entry::Fault(Fault { kind, n: Some(0), s, e }));
    });
    // Without an echo, after the time to settle, it is sent again.
    allowed(|history| {
        history.retain(|entry| !matches!(entry, Entry::Inbound(item) if item.id == "msg_2"));
        history.push(Entry::Call(call("msg_2", "t1", 14 * SECOND)));
    });
    flagged_also("key-with-two-effects", push(Entry::Call(call("msg_9", "t1", 6 * SECOND))));
    let template =
        GraphCall { kind: "template".to_owned(), to: "63".to_owned(), ..call("msg_9", "", 9 * SECOND) };
    flagged("hook-effect-not-once", push(Entry::Call(template)));
}

#[test]
fn a_node_that_was_stopped_before_its_call_may_not_make_it_later() {
    // Another node sends at 5.5 seconds; the one that was stopped goes on at `end` and sends too.
    let stopped_until = |end| {
        move |history: &mut Vec<Entry>| {
            history.push(fault("pause-at-graph-connect", Some(0), 1, end));
            history.push(Entry::Call(call("msg_2", "t1", end * SECOND + 1)));
        }
    };
    flagged("sent-twice-after-echo", stopped_until(20));
    flagged("sent-twice-before-settle", stopped_until(6));
}

#[test]
fn deliveries_that_differ_or_fail_to_come_are_flagged() {
    flagged("signature-wrong", push(Entry::Delivery(Delivery { signed: false, ..delivery(5, 9 * SECOND) })));
    flagged("signature-time-wrong", push(Entry::Delivery(Delivery { t: 49, ..delivery(5, 9 * SECOND) })));
    flagged("delivery-changed", push(Entry::Delivery(Delivery { d: 1, ..delivery(5, 9 * SECOND) })));
    flagged("delivery-out-of-order", |history| {
        each!(history, Delivery, |one: &mut Delivery| if one.seq == 3 {
            (one.s, one.t) = (8_500_000, 8);
        });
    });
    flagged("event-not-delivered", |history| {
        history.retain(|entry| !matches!(entry, Entry::Delivery(one) if one.seq == 4));
    });
    flagged("replay-without-delivery", |history| {
        history.retain(|entry| !matches!(entry, Entry::Delivery(one) if one.s > 10 * SECOND));
    });
}

#[test]
fn a_revoked_key_has_one_second() {
    let used =
        |at| Entry::KeyUse(crate::history::KeyUse { n: 1, key: "key_1".into(), s: at, e: at, st: 200 });
    flagged("revoked-key-accepted", push(used(11_200_000)));
    allowed(push(used(11_000_000)));
}

#[test]
fn errors_and_waits_need_a_cause() {
    let refused =
        |st, at: u64| Entry::Poll(Poll { st, b: None, ..poll(0, "contacts?limit=100", at * SECOND, "", 0) });
    flagged("internal-error", push(refused(500, 20)));
    flagged("refused-without-cause", push(refused(503, 10)));
    allowed(push(refused(503, 21)));
    let hung = Poll { e: 45 * SECOND, ..poll(0, "contacts?limit=100", 20 * SECOND, "C1", 110) };
    flagged("hang", push(Entry::Poll(hung.clone())));
    // A process that is stopped answers when it goes on.
    allowed(|history| {
        history.push(Entry::Fault(Fault {
            kind: "pause-long".into(),
            n: Some(0),
            s: 21 * SECOND,
            e: 44 * SECOND,
        }));
        history.push(Entry::Poll(hung.clone()));
    });
    // The others do not wait for it.
    flagged("hang", |history| {
        history.push(fault("pause-long", Some(1), 21, 44));
        history.push(Entry::Poll(hung));
    });
    flagged("late-send", |history| {
        each!(history, Call, |call: &mut GraphCall| if call.id == "msg_2" {
            call.s = 50 * SECOND;
        });
        history.retain(|entry| !matches!(entry, Entry::Inbound(item) if item.id == "msg_2"));
        history.retain(|entry| !matches!(entry, Entry::Fault(_)));
    });
    flagged("process-ended", push(fault("ended-by-itself", Some(1), 23, 24)));
}

#[test]
fn unavailability_counts_from_the_kill_to_the_last_failure_elsewhere() {
    let mut history = clean_history();
    for (n, s) in [(0, 21), (0, 22), (1, 25)] {
        let failed = Poll { n, st: 503, b: None, ..poll(0, "contacts?limit=100", s * SECOND, "", 0) };
        history.push(Entry::Poll(failed));
    }
    let availability = check_history(&history).availability;
    assert_eq!(availability.after_kill, [2 * SECOND + 10_000]);
}

#[test]
fn an_account_is_away_for_the_lease_and_a_second_and_refused_by_no_stop() {
    let failed =
        |s| Entry::Poll(Poll { n: 0, st: 503, b: None, ..poll(0, "contacts?limit=100", s * SECOND, "", 0) });
    allowed(push(failed(23)));
    flagged("away-too-long", push(failed(25)));
    flagged("refused-at-stop", |history| {
        each!(history, Fault, |fault: &mut Fault| if fault.kind == "kill" {
            fault.kind = "stop".into();
        });
        history.push(failed(21));
    });
}
