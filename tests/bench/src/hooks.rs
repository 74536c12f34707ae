//! Hooks, without a server around them: what one run of a small Rust guest takes, how many there are in a
//! second without commits, and what a thousand tenants' hooks weigh.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventType;
use kabar_core::domain::key_values::KeyValues;
use kabar_core::domain::plugin::Capabilities;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OrganisationId;
use kabar_openapi::MessageDrafts;
use kabar_plugins::{
    ComponentUpload, HostOptions, Invocation, LoadedVersion, NoNetwork, OutboundMode, PluginHost, RunLimits,
    sample,
};
use tokio::task::JoinSet;

use super::bench_run::BenchRun;
use super::child::{own_cpu, own_resident_bytes};
use super::latency_histogram::LatencyHistogram;
use super::report::{Figure, Goal, Row, millis};

/// The worked example in Rust: it sends a template when a message failed.
const GUEST: &[u8] = include_bytes!("../../../plugins/examples/built/rust-fallback.wasm");
/// Runs under way at once: enough to keep every thread busy.
const TOGETHER: u32 = 16;
const TENANTS: u32 = 1000;
/// Runs of the first row.
const ALONE: u32 = 20_000;

/// Computes for ever where it is told to.
const BURNER: &[u8] = include_bytes!("../../../plugins/fixtures/burner.wasm");
/// Runs of the burner under way or waiting, all the time.
const BURNING: u32 = 16;
/// Time between two runs of the hook beside it.
const PACE: Duration = Duration::from_millis(2);

/// Plays the scene.
pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let host =
        Arc::new(PluginHost::new(HostOptions::new([7; 32]), Arc::new(NoNetwork), Arc::new(MessageDrafts))?);
    let version = version(&host, GUEST, 0).await?;
    alone(bench, &host, &version).await?;
    together(bench, &host, &version).await?;
    beside(bench, &host, &version).await?;
    crowd(bench, &host).await
}

/// A guest that differs from the others in a custom section: another component, with code of its own.
async fn version(host: &PluginHost, guest: &[u8], tenant: u32) -> anyhow::Result<Arc<LoadedVersion>> {
    let mut wasm = guest.to_vec();
    // Section 0 of 6 bytes: a name of one byte, and the tenant.
    wasm.extend([0, 6, 1, b't']);
    wasm.extend(tenant.to_le_bytes());
    let upload = ComponentUpload {
        organisation_id: OrganisationId::from_bits(tenant.into()),
        wasm: wasm.into(),
        compiled_bytes_max: 32 << 20,
        granted: Capabilities::all_granted(),
        config: Arc::default(),
        secrets: Arc::default(),
        allowed_hosts: AllowedHosts::default(),
        trial: EventType::MessageStatus,
        now: Timestamp::EPOCH,
    };
    let compiled = host.compile(upload).await?;
    Ok(host.load(OrganisationId::from_bits(tenant.into()), &compiled.artefact).await?)
}

fn invocation(tenant: u32) -> Invocation {
    let sample = sample::event(EventType::MessageStatus);
    Invocation {
        organisation_id: OrganisationId::from_bits(tenant.into()),
        plugin: format!("plg_{tenant}").into(),
        account: sample.account,
        event: sample.event,
        run_id: None,
        attempt: 1,
        config: Arc::new([("template".into(), "sorry".into())].into()),
        secrets: Arc::default(),
        allowed_hosts: AllowedHosts::default(),
        kv: KeyValues::default(),
        limits: RunLimits::default(),
        now: Timestamp::EPOCH,
        seed: [1; 32],
        outbound: OutboundMode::Captured,
    }
}

/// One run, and how long the guest took from the making of its store to its answer.
async fn once(
    host: &PluginHost,
    version: &Arc<LoadedVersion>,
    invocation: Invocation,
) -> anyhow::Result<Duration> {
    let report = host.run(version, invocation).await;
    if !report.outcome.succeeded() || report.effects.len() != 1 {
        bail!("the hook did not send its template: {}", report.outcome);
    }
    Ok(Duration::from_micros(report.usage.wall_us))
}

async fn alone(bench: &mut BenchRun, host: &PluginHost, version: &Arc<LoadedVersion>) -> anyhow::Result<()> {
    let mut inside = LatencyHistogram::new();
    for n in 0..ALONE + 1000 {
        let took = once(host, version, invocation(1)).await?;
        if n >= 1000 {
            inside.record(took);
        }
    }
    let micros = |per_mille| millis(inside.quantile(per_mille)) * 1e3;
    let name = "a small Rust hook, instantiated and called";
    bench.figures.push(Figure::new(&format!("{name}: p50"), micros(500), "µs", Goal::AtMost(50.0)));
    bench.figures.push(Figure::new(&format!("{name}: p99"), micros(990), "µs", Goal::AtMost(200.0)));
    Ok(())
}

async fn together(
    bench: &mut BenchRun,
    host: &Arc<PluginHost>,
    version: &Arc<LoadedVersion>,
) -> anyhow::Result<()> {
    let name = "runs of a small Rust hook, no commit";
    writeln!(std::io::stderr(), "measuring: {name}")?;
    let (began, cpu) = (Instant::now(), own_cpu()?);
    let end = began + bench.duration;
    let runs = Arc::new(AtomicU64::new(0));
    let mut lanes = JoinSet::new();
    for tenant in 1..=TOGETHER {
        let (host, version, runs) = (host.clone(), version.clone(), runs.clone());
        lanes.spawn(async move {
            let mut latencies = LatencyHistogram::new();
            let invocation = invocation(tenant);
            while Instant::now() < end {
                let asked = Instant::now();
                once(&host, &version, invocation.clone()).await?;
                latencies.record(asked.elapsed());
                runs.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = LatencyHistogram::new();
    while let Some(lane) = lanes.join_next().await {
        latencies.merge(&lane??);
    }
    let took = began.elapsed().as_secs_f64();
    let runs = f64::from(u32::try_from(runs.load(Ordering::Relaxed))?);
    let spent = own_cpu()?.saturating_sub(cpu).as_secs_f64();
    bench.rows.push(Row {
        name: name.to_owned(),
        per_second: runs / took,
        ratio: None,
        cpu_micros: spent * 1e6 / runs.max(1.0),
        generator_cpu_micros: 0.0,
        p50_ms: millis(latencies.quantile(500)),
        p99_ms: millis(latencies.quantile(990)),
        longest_ms: millis(latencies.longest()),
    });
    bench.figures.push(Figure::new(name, runs / took, "1/s", Goal::AtLeast(10_000.0)));
    Ok(())
}

/// One tenant's hook, as its caller sees it, alone and then beside another tenant that burns all it gets.
async fn beside(
    bench: &mut BenchRun,
    host: &Arc<PluginHost>,
    version: &Arc<LoadedVersion>,
) -> anyhow::Result<()> {
    let quiet = paced(bench, "a small Rust hook, 500 a second", host, version).await?;
    let burner = self::version(host, BURNER, 0).await?;
    let mut burning = JoinSet::new();
    for _ in 0..BURNING {
        let (host, burner) = (host.clone(), burner.clone());
        let config = Arc::new([("burn".into(), "".into())].into());
        let invocation = Invocation { config, ..invocation(TENANTS + 1) };
        burning.spawn(async move {
            loop {
                host.run(&burner, invocation.clone()).await;
            }
        });
    }
    let loud = paced(bench, "the same beside a tenant that burns", host, version).await?;
    burning.shutdown().await;
    let name = "another tenant's hook while one burns its budget: p99, to that alone";
    bench.figures.push(Figure::new(name, loud.as_secs_f64() / quiet.as_secs_f64(), "", Goal::AtMost(1.1)));
    Ok(())
}

/// Runs at a pace; answers the p99.
async fn paced(
    bench: &mut BenchRun,
    name: &str,
    host: &PluginHost,
    version: &Arc<LoadedVersion>,
) -> anyhow::Result<Duration> {
    writeln!(std::io::stderr(), "measuring: {name}")?;
    let mut latencies = LatencyHistogram::new();
    let mut beat = tokio::time::interval(PACE);
    let began = Instant::now();
    while began.elapsed() < bench.duration {
        beat.tick().await;
        let asked = Instant::now();
        once(host, version, invocation(1)).await?;
        latencies.record(asked.elapsed());
    }
    bench.rows.push(Row {
        name: name.to_owned(),
        per_second: f64::from(latencies.total()) / began.elapsed().as_secs_f64(),
        ratio: None,
        cpu_micros: 0.0,
        generator_cpu_micros: 0.0,
        p50_ms: millis(latencies.quantile(500)),
        p99_ms: millis(latencies.quantile(990)),
        longest_ms: millis(latencies.longest()),
    });
    Ok(latencies.quantile(990))
}

/// A plugin each, no two of the same code, all loaded and run once.
async fn crowd(bench: &mut BenchRun, host: &PluginHost) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "compiling {TENANTS} hooks")?;
    let mut held = Vec::new();
    for tenant in 1..=TENANTS {
        let version = version(host, GUEST, tenant).await?;
        once(host, &version, invocation(tenant)).await?;
        held.push(version);
    }
    let bytes = f64::from(u32::try_from(own_resident_bytes()? / 1024)?) * 1024.0;
    let name = format!("{TENANTS} tenants with a hook each, no two alike: RSS");
    bench.figures.push(Figure::new(&name, bytes / 1e6, "MB", Goal::AtMost(2000.0)));
    drop(held);
    Ok(())
}
