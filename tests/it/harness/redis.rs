//! Redis under a stage: none, or the one of `KABAR_TEST_REDIS_URL` if `KABAR_TEST_MEMORY=redis` says so;
//! and a Redis of a test's own, which the test may stop, freeze and empty.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{patiently, until};

/// The address of the Redis that this run is about.
pub(crate) fn chosen() -> Option<String> {
    match setting("KABAR_TEST_MEMORY").as_deref() {
        None | Some("none") => None,
        Some("redis") => Some(setting("KABAR_TEST_REDIS_URL").expect("run this under tests/services run")),
        Some(other) => panic!("KABAR_TEST_MEMORY={other}: none or redis"),
    }
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A Redis that dies with this value, or before.
pub(crate) struct Redis {
    port: u16,
    process: Option<Child>,
    folder: tempfile::TempDir,
}

impl Redis {
    /// An address at which nobody answers until [`Redis::start`].
    pub(crate) fn absent() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        Self { port, process: None, folder: tempfile::tempdir().unwrap() }
    }

    /// A running one.
    pub(crate) async fn running() -> Self {
        let mut redis = Self::absent();
        redis.start().await;
        redis
    }

    /// What kabar is told.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Starts it, empty.
    pub(crate) async fn start(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let port = self.port.to_string();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.process = Some(process);
        until(async || self.ask(&["PING"]).await.trim() == "PONG").await;
    }

    /// Ends it at once (SIGKILL); what it held is lost.
    pub(crate) async fn kill(&mut self) {
        patiently(self.process.take().expect("it runs").kill()).await.unwrap();
    }

    /// Freezes it: connections stand, and nothing answers.
    pub(crate) async fn freeze(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on.
    pub(crate) async fn thaw(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        let pid = self.process.as_ref().and_then(Child::id).expect("it runs").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.await.unwrap().success());
    }

    /// Has it carry out a command; gives what `redis-cli` prints.
    pub(crate) async fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let asked = Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port]).args(command).output();
        String::from_utf8(patiently(asked).await.unwrap().stdout).unwrap()
    }
}
