//! What a run wants done comes back as data, and only if it succeeded.

use kabar_core::domain::key_values::KvWrite;

use super::*;
use crate::{HookOutcome, RequestedEffect};

const KV: &str = r#"
    (import "kabar:hooks/kv@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
    (import "kabar:hooks/kv@1.0.0" "add" (func $add (param i32 i32 i64 i32)))
    (import "kabar:hooks/kv@1.0.0" "get" (func $get (param i32 i32 i32)))
    (data (i32.const 1024) "keyvalue")"#;
const SET: &str =
    "(call $set (i32.const 1024) (i32.const 3) (i32.const 1027) (i32.const 5) (i32.const 2048))";
const ADD: &str = "(call $add (i32.const 1027) (i32.const 5) (i64.const 3) (i32.const 2048))";
const GET: &str = "(call $get (i32.const 1024) (i32.const 3) (i32.const 2048))";
const RETRY: &str = "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store8 (i32.const 132) (i32.const 0)) \
                     (i32.store (i32.const 136) (i32.const 1024)) (i32.store (i32.const 140) (i32.const 3)) \
                     (i32.const 128)";

#[tokio::test]
async fn the_map_is_read_and_written_as_data() {
    let host = host();
    let version = version(&host, component(KV, &format!("{GET} {SET} {ADD} (i32.const 64)"))).await;
    let mut kv = KeyValues::default();
    kv.put_value("key".into(), b"old".as_slice().into());
    let report = host.run(&version, Invocation { kv: kv.clone(), ..invocation() }).await;
    assert_eq!(report.outcome, HookOutcome::Succeeded);
    let put = KvWrite::Put("key".into(), b"value".as_slice().into());
    assert_eq!(report.kv_writes, [put, KvWrite::Add("value".into(), 3)]);
    assert_eq!(report.kv_reads.keys.len(), 1);
    assert!(kv.reads_hold(&kv, &report.kv_reads) && !KeyValues::default().reads_hold(&kv, &report.kv_reads));
    assert_eq!(report.usage.host_calls, 3);
    assert_eq!(report.usage.memory_peak_bytes, 4 << 16);
}

#[tokio::test]
async fn nothing_of_a_run_that_did_not_succeed_is_kept() {
    let report = run(&host(), KV, &format!("{SET} {RETRY}")).await;
    assert_eq!(report.outcome, HookOutcome::Retry("key".into()));
    assert!(report.kv_writes.is_empty());
    let rejected = RETRY.replace("(i32.const 132) (i32.const 0)", "(i32.const 132) (i32.const 1)");
    let report = run(&host(), KV, &rejected).await;
    assert_eq!(report.outcome, HookOutcome::Rejected("key".into()));
}

#[tokio::test]
async fn sends_are_checked_at_the_call_and_kept_in_order() {
    let parts = r#"
        (import "kabar:hooks/messages@1.0.0" "send" (func $send (param i32 i32 i32)))
        (data (i32.const 1024) "onetwobad")"#;
    let send = |at: u32| format!("(call $send (i32.const {at}) (i32.const 3) (i32.const 2048))");
    // The answer's first byte says whether it was refused: the third must be, and no other.
    let refused = "(i32.load8_u (i32.const 2048))";
    let body = format!(
        "{} (if {refused} (then (unreachable))) {} {} (if (i32.eqz {refused}) (then (unreachable))) (i32.const 64)",
        send(1024),
        send(1027),
        send(1030)
    );
    let host = host();
    let version = version(&host, component(parts, &body)).await;
    let report = host.run(&version, invocation()).await;
    assert_eq!(report.outcome, HookOutcome::Succeeded);
    let bodies: Vec<&str> = report
        .effects
        .iter()
        .map(|effect| match effect {
            RequestedEffect::Send { body, .. } => body.as_ref(),
            RequestedEffect::UpdateConversation { .. } => panic!("{effect:?}"),
        })
        .collect();
    assert_eq!(bodies, ["one", "two"]);
    let few = RunLimits { effects: 1, ..RunLimits::default() };
    let report = host.run(&version, Invocation { limits: few, ..invocation() }).await;
    assert_eq!((report.outcome, report.effects.len()), (HookOutcome::Succeeded, 1));
}

#[tokio::test]
async fn the_same_invocation_does_the_same() {
    let parts = r#"
        (import "kabar:hooks/random@1.0.0" "number" (func $number (result i64)))
        (import "kabar:hooks/kv@1.0.0" "add" (func $add (param i32 i32 i64 i32)))
        (data (i32.const 1024) "drawn")"#;
    let body = "(call $add (i32.const 1024) (i32.const 5) (call $number) (i32.const 2048)) (i32.const 64)";
    let host = host();
    let version = version(&host, component(parts, body)).await;
    let first = host.run(&version, invocation()).await;
    let again = host.run(&version, invocation()).await;
    assert_eq!(first.kv_writes, again.kv_writes);
    let other = host.run(&version, Invocation { seed: [8; 32], ..invocation() }).await;
    assert_ne!(first.kv_writes, other.kv_writes);
}
