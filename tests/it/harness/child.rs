//! The real binary in a process of its own, for tests that kill it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};

use super::{APP_SECRET, Client, OPERATOR_TOKEN, VERIFY_TOKEN, database, delays, patiently, until};

/// A running `kabar serve`. It dies with this value.
pub(crate) struct Child {
    process: Process,
    address: SocketAddr,
    /// Its log up to the line that it serves.
    pub(crate) log: String,
    /// Nobody's client of it.
    pub(crate) anyone: Client,
}

impl Child {
    /// Starts in this folder on the database of this address, and waits until it is ready.
    pub(crate) async fn start(folder: &Path, database_url: &str, graph: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        Self::start_at(address, folder, database_url, graph, &[]).await
    }

    /// The same as a process that may open this many files. It sends to no WhatsApp.
    pub(crate) async fn start_with_descriptors(descriptors: u32, folder: &Path, database_url: &str) -> Self {
        let address = Self::lasting_address();
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("ulimit -n {descriptors}; exec \"$0\" serve"),
            env!("CARGO_BIN_EXE_kabar"),
        ]);
        serving_environment(&mut command, address, folder, database_url, "http://127.0.0.1:9");
        Self::await_serving(command, address).await
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same with a log on a full disk.
    pub(crate) async fn start_without_log(folder: &Path, database_url: &str, graph: &str) -> Self {
        let address = Self::lasting_address();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut process = serve_command(address, folder, database_url, graph)
            .stdout(Stdio::null())
            .stderr(full)
            .spawn()
            .unwrap();
        until(|| {
            let runs = process.try_wait().unwrap().is_none();
            async move {
                assert!(runs, "it ended early");
                tokio::net::TcpStream::connect(address).await.is_ok()
            }
        })
        .await;
        Self { process, address, log: String::new(), anyone: Client::new(&format!("http://{address}")) }
    }

    /// An address to start at again and again: of ports that the system gives to nobody.
    pub(crate) fn lasting_address() -> SocketAddr {
        let mut ports = std::iter::repeat_with(|| rand::random_range(10_000_u16..20_000));
        let free = ports.find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok());
        free.expect("there is no end of ports").local_addr().unwrap()
    }

    /// The same at this address, with further settings.
    pub(crate) async fn start_at(
        address: SocketAddr,
        folder: &Path,
        database_url: &str,
        graph: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut command = serve_command(address, folder, database_url, graph);
        command.envs(settings.iter().copied());
        Self::await_serving(command, address).await
    }

    async fn await_serving(mut command: Command, address: SocketAddr) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The log says when it serves; it is read on, so that the pipes never fill.
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let tasks = tokio_util::task::TaskTracker::new();
        let tell = told.clone();
        tasks.spawn(async move {
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _nobody = tell.send(line);
            }
        });
        tasks.spawn(async move {
            let mut lines = BufReader::new(err).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _nobody = told.send(line);
            }
        });
        let mut log = String::new();
        patiently(async {
            loop {
                let line = heard.recv().await.unwrap_or_else(|| panic!("it ended early:\n{log}"));
                if line.contains("kabar serves") {
                    break;
                }
                log.push_str(&line);
                log.push('\n');
            }
        })
        .await;
        Self { process, address, log, anyone: Client::new(&format!("http://{address}")) }
    }

    /// Lets none of its files grow beyond so many bytes, as a full disk would; `None` lets them grow.
    pub(crate) async fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let pid = self.process.id().expect("it runs").to_string();
        // The hard limit stays, or it could not be raised again.
        let set =
            Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:unlimited")]).status();
        assert!(set.await.unwrap().success());
    }

    /// Stops it in the middle of whatever it does (SIGSTOP).
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Has it read its settings anew (SIGHUP).
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().expect("it runs");
        let sent = std::process::Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it at once (SIGKILL).
    pub(crate) async fn kill(mut self) {
        patiently(self.process.kill()).await.unwrap();
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let pid = self.process.id().expect("it runs").to_string();
        let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {pid}")).status();
        assert!(asked.await.unwrap().success());
        patiently(self.process.wait()).await.unwrap()
    }
}

fn serve_command(address: SocketAddr, folder: &Path, database_url: &str, graph: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.arg("serve");
    serving_environment(&mut command, address, folder, database_url, graph);
    command
}

fn serving_environment(
    command: &mut Command,
    address: SocketAddr,
    folder: &Path,
    database_url: &str,
    graph: &str,
) {
    command
        .env_clear()
        .env("KABAR_LISTEN", address.to_string())
        .env("KABAR_DATABASE_URL", database_url)
        .env("KABAR_OPERATOR_TOKEN", OPERATOR_TOKEN)
        .env("KABAR_WHATSAPP__APP_SECRET", APP_SECRET)
        .env("KABAR_WHATSAPP__VERIFY_TOKEN", VERIFY_TOKEN)
        .env("KABAR_WHATSAPP__BASE_URL", graph)
        .env("KABAR_LOG__LEVEL", "info")
        .envs(database_url.starts_with("postgres").then_some((database::KEY_FILE, database::TEST_KEY)))
        .envs(delays::chosen().map(|delays| (delays::VARIABLE, delays)))
        .current_dir(folder)
        .kill_on_drop(true);
}
