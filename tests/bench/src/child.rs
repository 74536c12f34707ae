//! The servers under load: child processes, and what they cost.
//!
//! Invariants: a child gets no settings but those given here; it dies with its handle; CPU time
//! and memory are the kernel's own figures for that process alone.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::process::{Child as Process, Command};

use super::wire;

/// Kernel ticks of 1/100 s: `USER_HZ` is 100 on every Linux that Rust runs on.
const TICK_MICROS: u64 = 10_000;
const START_TIMEOUT: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(5);

/// A running server.
pub(super) struct Child {
    process: Process,
    pub(super) address: SocketAddr,
    pid: u32,
}

impl Child {
    /// The yardstick.
    pub(super) async fn baseline() -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["baseline", "--listen", &address.to_string()]);
        Self::start(command, address).await
    }

    /// `kabar serve` in a folder, with the settings given by the environment.
    pub(super) async fn server(
        kabar: &Path,
        folder: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(kabar);
        command.arg("serve").current_dir(folder);
        command.env("KABAR_LISTEN", address.to_string()).env("KABAR_LOG__LEVEL", "warn");
        command.envs(settings.iter().copied());
        Self::start(command, address).await
    }

    async fn start(mut command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        let process = preserve_only_given(&mut command).kill_on_drop(true).spawn()?;
        let pid = process.id().context("the server ended at once")?;
        let mut child = Self { process, address, pid };
        let health = wire::request("GET", "/v1/health", &[], b"");
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            if let Some(end) = child.process.try_wait()? {
                bail!("the server ended with {end}");
            }
            if let Ok((200, _, _)) = wire::once(address, &health).await {
                return Ok(child);
            }
            tokio::time::sleep(STEP).await;
        }
        bail!("the server is not healthy after a minute")
    }

    /// Ends the process without asking it: what it has acknowledged is on the disk.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }

    /// CPU time so far, of user and kernel.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(&self.pid.to_string())
    }

    /// Memory that is resident now, in bytes.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        resident_bytes_of(&self.pid.to_string())
    }
}

/// Memory of the process of this bench that is resident now, in bytes.
pub(super) fn own_resident_bytes() -> anyhow::Result<u64> {
    resident_bytes_of("self")
}

fn resident_bytes_of(process: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// The environment of the caller holds settings of its own, and they must not leak in.
fn preserve_only_given(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let given = command.as_std().get_envs().any(|(known, _)| known == name);
        if !given && name.to_string_lossy().starts_with("KABAR_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null())
}

/// CPU time of the process of this bench.
pub(super) fn own_cpu() -> anyhow::Result<Duration> {
    cpu_of("self")
}

fn cpu_of(process: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold blanks; utime and stime are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')').context("an unknown form of /proc/<pid>/stat")?;
    let ticks: Vec<u64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_micros(ticks.iter().sum::<u64>() * TICK_MICROS))
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
