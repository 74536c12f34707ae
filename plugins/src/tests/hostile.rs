//! Guests that mean harm, or might as well: each ends within its limits and is told why in plain words.

use std::time::Duration;

use kabar_core::domain::run::LogLevel;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::*;
use crate::component::wrap::WIT;
use crate::{HookFault, HookOutcome};

const RANDOM: &str = r#"(import "kabar:hooks/random@1.0.0" "number" (func $number (result i64)))"#;
const LOG: &str = r#"(import "kabar:hooks/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;
const FETCH: &str = r#"(import "kabar:hooks/http@1.0.0" "fetch"
    (func $fetch (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

/// Posts to `https://chat.example/` without headers or body; the answer comes to 2048.
pub(super) const CALL: &str = "(call $fetch (i32.const 1100) (i32.const 4) (i32.const 1024) (i32.const 21) \
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) \
    (i32.const 2048))";

pub(super) fn with_fetch() -> String {
    format!(r#"{FETCH} (data (i32.const 1024) "https://chat.example/") (data (i32.const 1100) "POST")"#)
}

fn fault(report: &RunReport) -> (HookFault, &str) {
    assert!(report.kv_writes.is_empty() && report.effects.is_empty(), "nothing of a failed run counts");
    match &report.outcome {
        HookOutcome::Trapped(fault, text) => (*fault, text),
        other @ (HookOutcome::Succeeded | HookOutcome::Retry(_) | HookOutcome::Rejected(_)) => {
            panic!("{other}")
        }
    }
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_computing_time() {
    let report = run(&host(), "", "(loop $l (br $l)) (unreachable)").await;
    assert_eq!(fault(&report), (HookFault::Cpu, "the hook used more than 50 ms of computing time"));
    assert!(report.usage.cpu_us >= 50_000);
}

#[tokio::test]
async fn a_memory_bomb_gets_no_more_than_its_share() {
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    let report = run(&host(), "", grow).await;
    assert_eq!(fault(&report), (HookFault::Memory, "the hook ran out of memory: it may use 64 MiB"));
    assert!(report.usage.memory_peak_bytes <= 64 << 20);
    assert!(report.usage.memory_peak_bytes > 60 << 20);
}

#[tokio::test]
async fn a_guest_that_begins_too_large_is_told_so() {
    let host = host();
    let wasm = component("", "(i32.const 64)");
    let version = version(&host, wasm).await;
    let limits = RunLimits { memory_bytes: 64 << 10, ..RunLimits::default() };
    let report = host.run(&version, Invocation { limits, ..invocation() }).await;
    assert_eq!(fault(&report).0, HookFault::Memory);
}

#[tokio::test]
async fn deep_recursion_ends_at_the_stack() {
    let report = run(&host(), "", "(call $handle (call $handle (local.get $event)))").await;
    assert_eq!(fault(&report), (HookFault::Stack, "the hook called itself too deeply: its stack is full"));
}

#[tokio::test]
async fn a_table_bomb_gets_no_more_than_its_share() {
    let body = "(loop $l (br_if $l (i32.ne \
                (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)";
    let report = run(&host(), "(table $t 1 funcref)", body).await;
    // The pool's own bound on one table comes before the limit of all.
    assert!(matches!(fault(&report).0, HookFault::Memory | HookFault::Crash), "{:?}", report.outcome);
}

#[tokio::test]
async fn a_giant_answer_is_not_taken_in() {
    let body = "(drop (memory.grow (i32.const 900))) (i32.store8 (i32.const 128) (i32.const 1)) \
                (i32.store (i32.const 136) (i32.const 0)) (i32.store (i32.const 140) (i32.const 50000000)) \
                (i32.const 128)";
    let report = run(&host(), "", body).await;
    assert_eq!(fault(&report), (HookFault::Excess, "the hook handed the host more data at once than it may"));
}

#[tokio::test]
async fn a_log_flood_is_cut() {
    let flood = "(local $n i32) (loop $l (call $log (i32.const 1) (i32.const 1024) (i32.const 1000)) \
                 (local.set $n (i32.add (local.get $n) (i32.const 1))) \
                 (br_if $l (i32.lt_u (local.get $n) (i32.const 5000)))) (i32.const 64)";
    let report = run(&host(), LOG, flood).await;
    assert_eq!(report.outcome, HookOutcome::Succeeded);
    assert!(report.logs_cut);
    let bytes: usize = report.logs.iter().map(|line| line.text.len()).sum();
    assert!(bytes <= 64 << 10 && bytes > 60 << 10, "{bytes}");
    assert!(report.logs.iter().all(|line| line.level == LogLevel::Info));
}

#[tokio::test]
async fn a_storm_of_host_calls_ends() {
    let report = run(&host(), RANDOM, "(loop $l (drop (call $number)) (br $l)) (unreachable)").await;
    let (fault, text) = fault(&report);
    // Whichever of its two bounds it meets first on this machine.
    match fault {
        HookFault::Excess => assert_eq!(text, "the hook called the host more than 10000 times"),
        HookFault::Cpu => assert!(text.contains("computing time")),
        HookFault::Wall | HookFault::Memory | HookFault::Stack | HookFault::Crash | HookFault::Start => {
            panic!("{text}")
        }
    }
}

#[tokio::test]
async fn a_sleeper_is_woken_by_the_end() {
    let host = PluginHost::new(options(), Arc::new(Answering(None)), Arc::new(AnyDraft)).unwrap();
    let wasm = component(&with_fetch(), &format!("{CALL} (i32.const 64)"));
    let version = version(&host, wasm).await;
    let limits = RunLimits { wall: Duration::from_millis(200), ..RunLimits::default() };
    let report = host.run(&version, Invocation { limits, ..invocation() }).await;
    let (fault, text) = fault(&report);
    assert_eq!(fault, HookFault::Wall);
    assert_eq!(text, "the hook took longer than 200 ms, waits for other hosts included");
    assert!(report.usage.cpu_us < 50_000, "waiting is not computing");
    assert_eq!(report.http_calls.len(), 1, "the call has happened, and is told");
}

/// A guest that sleeps by WASI, as the usual languages do.
fn sleeping(nanos: u64) -> Bytes {
    let parts = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
    let body = format!("(call $block (call $after (i64.const {nanos}))) (i32.const 64)");
    let mut core = wat::parse_str(module(parts, &body)).unwrap();
    let mut resolve = Resolve::default();
    let io = "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }";
    let clocks = "package wasi:clocks@0.2.0; interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; \
                  subscribe-duration: func(when: u64) -> pollable; }";
    let sleeper = "package tests:sleeper; world sleeper { import wasi:clocks/monotonic-clock@0.2.0; \
                   include kabar:hooks/status-hook@1.0.0; }";
    for texts in [vec![io], vec![clocks], WIT.map(|(_, text)| text).to_vec(), vec![sleeper]] {
        let mut sources = SourceMap::new();
        texts.iter().enumerate().for_each(|(nth, text)| sources.push_str(&format!("{nth}.wit"), *text));
        resolve.push_group(sources.parse().map_err(|(_, error)| error).unwrap()).unwrap();
    }
    let packages: Vec<_> = resolve.packages.iter().map(|(id, _)| id).collect();
    let world = resolve.select_world(&packages[3..], Some("sleeper")).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&core).unwrap().encode().unwrap().into()
}

#[tokio::test]
async fn a_sleeper_by_its_own_clock_is_woken_by_the_end_and_holds_up_nobody() {
    let host = host();
    let quick = version(&host, component("", "(i32.const 64)")).await;
    let naps = version(&host, sleeping(1_000_000)).await;
    assert_eq!(host.run(&naps, invocation()).await.outcome, HookOutcome::Succeeded);
    let sleeps = version(&host, sleeping(3_600_000_000_000)).await;
    let limits = RunLimits { wall: Duration::from_millis(200), ..RunLimits::default() };
    let asleep = (0..3).map(|_| host.run(&sleeps, Invocation { limits, ..invocation() }));
    let awake = async {
        for _ in 0..20 {
            let next = Invocation { organisation_id: tenant(7), plugin: "plg_quick".into(), ..invocation() };
            assert_eq!(host.run(&quick, next).await.outcome, HookOutcome::Succeeded);
        }
    };
    let (reports, ()) = tokio::join!(futures_util::future::join_all(asleep), awake);
    for report in reports {
        let (fault, text) = fault(&report);
        assert_eq!(
            (fault, text),
            (HookFault::Wall, "the hook took longer than 200 ms, waits for other hosts included")
        );
        assert!(report.usage.cpu_us < 50_000, "sleeping is not computing");
    }
}

#[tokio::test]
async fn a_trap_on_every_event_is_told_each_time() {
    let host = host();
    let version = version(&host, component("", "(unreachable)")).await;
    for _ in 0..20 {
        let report = host.run(&version, invocation()).await;
        let (fault, text) = fault(&report);
        assert_eq!(fault, HookFault::Crash);
        assert_eq!(text, "the hook crashed: it panicked, aborted or reached unreachable code");
    }
    let divided = run(&host, "", "(i32.div_u (i32.const 1) (i32.const 0))").await;
    assert_eq!(fault(&divided).1, "the hook crashed: wasm trap: integer divide by zero");
    let beyond = run(&host, "", "(i32.load (i32.const 0x7fffffff))").await;
    assert_eq!(fault(&beyond).1, "the hook crashed: wasm trap: out of bounds memory access");
}

#[tokio::test]
async fn what_lies_in_memory_is_gone_with_the_run() {
    let host = host();
    let body = "(if (i32.load (i32.const 4096)) (then (unreachable))) \
                (i32.store (i32.const 4096) (i32.const 1)) (i32.const 64)";
    let version = version(&host, component("", body)).await;
    for _ in 0..50 {
        assert_eq!(host.run(&version, invocation()).await.outcome, HookOutcome::Succeeded);
    }
}
