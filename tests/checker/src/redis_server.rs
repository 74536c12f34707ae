//! A Redis of the run's own, to be killed (it loses everything) and frozen.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::os_process;

/// The server; it dies with this value.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    process: Option<Child>,
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// Starts one, empty.
    pub async fn start() -> anyhow::Result<Self> {
        let mut server = Self { port: os_process::free_port(), process: None, folder: tempfile::tempdir()? };
        server.start_again().await?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Starts it again after a kill.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let port = self.port.to_string();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server")?;
        self.process = Some(process);
        for _ in 0..500 {
            if TcpStream::connect(self.address()).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("redis-server does not listen")
    }

    /// Kills it at once.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill().await;
        }
    }

    /// Freezes it, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        if let Some(pid) = self.process.as_ref().and_then(Child::id) {
            os_process::signal(pid, if frozen { Signal::STOP } else { Signal::CONT });
        }
    }
}
