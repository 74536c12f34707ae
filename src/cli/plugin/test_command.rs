//! `kabar plugin test`: one run of a hook on one event, on this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use kabar_core::clock::Clock;
use kabar_core::domain::account::Secret;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventType;
use kabar_core::domain::key_values::{KeyValues, KvWrite};
use kabar_core::domain::plugin::Capabilities;
use kabar_openapi::MessageDrafts;
use kabar_plugins::component::wrap::wrap_module;
use kabar_plugins::sample::{self, SampleEvent};
use kabar_plugins::{
    CompiledComponent, ComponentUpload, HostOptions, Invocation, NoNetwork, OutboundMode, PluginHost,
    RequestedEffect, RunLimits, RunReport,
};

/// Longest time of the compilation. The server's bound keeps tenants from each other; here the author waits for their
/// own hook, and one in Python takes long on a busy machine.
const COMPILE_TIMEOUT: Duration = Duration::from_mins(10);

/// Arguments of `kabar plugin test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The component, or a core module.
    #[arg(value_name = "PLUGIN.wasm")]
    plugin: PathBuf,
    /// The event: a file with JSON in the API's form, or only a type such as `message.received`.
    #[arg(long, default_value = "message.status", value_name = "FILE|TYPE")]
    event: String,
    /// A setting of the plugin, an entry of its `config`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::cli::parse_setting)]
    setting: Vec<(String, String)>,
    /// A secret of the plugin. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::cli::parse_setting)]
    secret: Vec<(String, String)>,
    /// An entry of the plugin's map. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::cli::parse_setting)]
    kv: Vec<(String, String)>,
    /// A host that it may call; calls are shown, and not made. May be repeated.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Computing time that it may use.
    #[arg(long, default_value_t = 50, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    cpu_ms: u64,
}

fn read_event(text: &str) -> anyhow::Result<SampleEvent> {
    if let Some(kind) = EventType::parse(text) {
        return Ok(sample::event(kind));
    }
    let read =
        std::fs::read(text).with_context(|| format!("{text} is neither a type of event nor a file"))?;
    let json = serde_json::from_slice(&read).with_context(|| format!("{text} is not JSON"))?;
    sample::read(&json).with_context(|| format!("{text} is not an event"))
}

fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let wasm = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(if wasm.starts_with(b"\0asm") { wrap_module(&wasm)? } else { wasm })
}

fn into_map(pairs: Vec<(String, String)>) -> BTreeMap<Arc<str>, Arc<str>> {
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn build_invocation(args: TestArgs, sample: SampleEvent, allowed_hosts: AllowedHosts) -> Invocation {
    let entries = args.kv.into_iter().map(|(key, value)| (key.into(), value.into_bytes().into()));
    let secrets = args.secret.into_iter().map(|(key, value)| (key.into(), Secret::new(&value)));
    Invocation {
        organisation_id: sample.account.organisation_id,
        plugin: "plugin".into(),
        account: sample.account,
        event: sample.event,
        run_id: None,
        attempt: 1,
        config: Arc::new(into_map(args.setting)),
        secrets: Arc::new(secrets.collect()),
        allowed_hosts,
        kv: entries.collect::<KeyValues>(),
        limits: RunLimits { cpu: Duration::from_millis(args.cpu_ms), ..RunLimits::default() },
        now: Clock::system_clock().read_now(),
        seed: rand::random(),
        outbound: OutboundMode::Captured,
    }
}

/// Runs the hook and shows the outcome.
pub(super) async fn run_trial(args: TestArgs) -> anyhow::Result<()> {
    let sample = read_event(&args.event)?;
    let wasm = read_component(&args.plugin)?;
    let allowed_hosts = AllowedHosts::parse(&args.allow_host)?;
    let options =
        HostOptions { compile_timeout: COMPILE_TIMEOUT, ..HostOptions::new(rand::random::<[u8; 32]>()) };
    let host = PluginHost::new(options, Arc::new(NoNetwork), Arc::new(MessageDrafts))?;
    let invocation = build_invocation(args, sample, allowed_hosts);
    let upload = ComponentUpload {
        organisation_id: invocation.organisation_id,
        wasm: wasm.into(),
        compiled_bytes_max: kabar_plugins::COMPILED_BYTES_MAX,
        granted: Capabilities::all_granted(),
        config: invocation.config.clone(),
        secrets: invocation.secrets.clone(),
        allowed_hosts: invocation.allowed_hosts.clone(),
        trial: invocation.event.kind.event_type(),
        now: invocation.now,
    };
    let compiled = host.compile(upload).await?;
    let version = host.load(invocation.organisation_id, &compiled.artefact).await?;
    let report = host.run(&version, invocation).await;
    std::io::stdout().write_all(render_report(&compiled, &report)?.as_bytes())?;
    if report.outcome.succeeded() { Ok(()) } else { bail!("the hook did not succeed") }
}

/// Converts microseconds to milliseconds.
fn to_millis(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1e3
}

fn render_report(compiled: &CompiledComponent, report: &RunReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "outcome  {}", report.outcome)?;
    for line in &report.logs {
        writeln!(out, "log      {:5} {}", line.level.as_str(), line.text)?;
    }
    if report.logs_cut {
        writeln!(out, "log      … and more than is kept")?;
    }
    for effect in &report.effects {
        match effect {
            RequestedEffect::Send { body, .. } => writeln!(out, "send     {body}")?,
            RequestedEffect::UpdateConversation { conversation_id, status, assigned_to } => {
                write!(out, "update   {conversation_id}")?;
                if let Some(status) = status {
                    write!(out, " status={}", status.as_str())?;
                }
                match assigned_to {
                    Some(Some(user)) => write!(out, " assigned_to={user}")?,
                    Some(None) => write!(out, " assigned_to=nobody")?,
                    None => {}
                }
                writeln!(out)?;
            }
        }
    }
    for write in &report.kv_writes {
        match write {
            KvWrite::Put(key, value) => {
                writeln!(out, "kv       set {key} {}", String::from_utf8_lossy(value))?;
            }
            KvWrite::Delete(key) => writeln!(out, "kv       delete {key}")?,
            KvWrite::Add(key, by) => writeln!(out, "kv       add {key} {by}")?,
        }
    }
    for call in &report.http_calls {
        let body = call.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        writeln!(out, "http     {} {} {body} (not made)", call.method, call.url)?;
    }
    let usage = &report.usage;
    writeln!(
        out,
        "used     {:.2} ms of computing, {:.2} ms in all, {} KiB of memory, {} calls to the host",
        to_millis(usage.cpu_us),
        to_millis(usage.wall_us),
        usage.memory_peak_bytes >> 10,
        usage.host_calls
    )?;
    let interface = |import: &Arc<str>| {
        let path = import.split_once('@').map_or(import.as_ref(), |(path, _)| path);
        path.strip_prefix("kabar:hooks/").filter(|name| *name != "types").map(str::to_owned)
    };
    let needs: Vec<String> = compiled.imports.iter().filter_map(interface).collect();
    writeln!(out, "needs    {}", if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") })?;
    writeln!(out, "built    {} KB, compiled in {} ms", compiled.size.div_ceil(1000), compiled.compile_ms)?;
    Ok(out)
}
