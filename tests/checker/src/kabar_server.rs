//! One process of kabar, to be paused, killed, told to end, started again, and given a clock of its own.
//!
//! Invariant: it keeps its address over all its lives, and dies with this value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::http_client::{Ask, HttpClient};
use crate::os_process;

/// The operator's token of every run.
pub const OPERATOR_TOKEN: &str = "checker-operator-token";
/// The app secret of every run.
pub const APP_SECRET: &str = "checker-app-secret";

/// Where Debian's package `libfaketime` puts its library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Starts of a process until it counts as broken.
const STARTS_MAX: u32 = 5;

/// How to start a process.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The binary.
    pub kabar: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// Settings by the names of its environment.
    pub settings: Vec<(String, String)>,
    /// A folder for its log, its clock's file and, on SQLite, its database.
    pub folder: PathBuf,
    /// Its name in file names.
    pub name: String,
    /// Whether it has a clock of its own.
    pub own_clock: bool,
}

/// The process.
#[derive(Debug)]
pub struct KabarServer {
    options: StartOptions,
    process: Option<Child>,
}

impl KabarServer {
    /// A server that does not run yet.
    pub const fn new(options: StartOptions) -> Self {
        Self { options, process: None }
    }

    /// A further process with the same settings but for the address at which it listens.
    pub fn twin(&self, address: SocketAddr) -> Self {
        let name = format!("{}-twin", self.options.name);
        Self::new(StartOptions { address, name, ..self.options.clone() })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.options.address
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// Starts it without waiting.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let StartOptions { kabar, address, settings, folder, name, own_clock } = &self.options;
        let log = folder.join(format!("{name}.log"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(kabar);
        command
            .arg("serve")
            .env_clear()
            .env("KABAR_LISTEN", address.to_string())
            .env("KABAR_OPERATOR_TOKEN", OPERATOR_TOKEN)
            .env("KABAR_WHATSAPP__APP_SECRET", APP_SECRET)
            .env("KABAR_WHATSAPP__VERIFY_TOKEN", "checker-verify-token")
            .env("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true")
            .env("KABAR_LOG__LEVEL", "info")
            .envs(settings.iter().map(|(name, value)| (name, value)));
        if *own_clock {
            let file = folder.join(format!("{name}.clock"));
            if !file.exists() {
                std::fs::write(&file, "+0")?;
            }
            command
                .env("LD_PRELOAD", FAKETIME)
                .env("FAKETIME_TIMESTAMP_FILE", file)
                .env("FAKETIME_CACHE_DURATION", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        let process = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| kabar.display().to_string())?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it and waits until it is ready. One that ends instead, because its database was slow to answer, is
    /// started again, as a service manager does.
    pub async fn start(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.spawn()?;
        let mut client = HttpClient::new(self.address(), Duration::from_secs(2));
        let mut starts = 1;
        let ready = async {
            loop {
                let answer = client.send(&Ask { path: "/readyz", ..Ask::default() }).await;
                if answer.is_some_and(|answer| answer.status == 200) {
                    return anyhow::Ok(true);
                }
                if self.has_ended() {
                    if starts == STARTS_MAX {
                        return Ok(false);
                    }
                    starts += 1;
                    self.spawn()?;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ready = tokio::time::timeout(patience, ready).await;
        let ready = ready.with_context(|| format!("{} is not ready", self.options.name))?;
        anyhow::ensure!(ready?, "{} ended instead of getting ready", self.options.name);
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            os_process::signal(pid, signal);
        }
    }

    /// Kills it at once.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill().await;
        }
    }

    /// Tells it to end and waits for that; after the patience it is killed.
    pub async fn terminate(&mut self, patience: Duration) -> bool {
        self.signal(Signal::TERM);
        let Some(process) = self.process.as_mut() else { return true };
        let ended = tokio::time::timeout(patience, process.wait()).await.is_ok();
        self.kill().await;
        ended
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Sets its clock off by so many seconds. Works only with `own_clock`.
    pub fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        let file = self.options.folder.join(format!("{}.clock", self.options.name));
        std::fs::write(file, format!("{seconds:+}"))?;
        Ok(())
    }

    /// Lets none of its files grow beyond so many bytes, as a full disk would.
    pub async fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let pid = self.pid().unwrap_or_default().to_string();
        let limit = format!("--fsize={limit}:unlimited");
        let _gone = Command::new("prlimit").args(["--pid", &pid, &limit]).status().await;
    }
}

/// Whether processes can have clocks of their own here.
pub fn has_faketime() -> bool {
    std::path::Path::new(FAKETIME).exists()
}
