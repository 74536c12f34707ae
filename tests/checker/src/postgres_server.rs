//! A PostgreSQL of the run's own, with a synchronous standby if wanted, to be paused, killed and failed over.
//!
//! Invariants: acknowledged means on the standby too, when there is one; kabar's role is no superuser. The files
//! are in a folder of the run and go with it. `fsync` is off: processes are killed here, never the machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::os_process;

/// The name under which a standby makes itself known to its primary.
const STANDBY: &str = "kabar_standby";

/// One instance: a folder of files, a port, a process.
#[derive(Debug)]
struct Instance {
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

/// The server, or the pair.
#[derive(Debug)]
pub struct PostgresServer {
    instances: Vec<Instance>,
    primary: usize,
}

impl PostgresServer {
    /// Starts an empty server, with a synchronous standby if wanted.
    pub async fn start(standby: bool) -> anyhow::Result<Self> {
        let mut server = Self { instances: vec![Instance::create().await?], primary: 0 };
        let primary = &mut server.instances[0];
        let mut initdb = as_owner(&program("initdb"));
        initdb.arg("--pgdata").arg(primary.files()).args(["--username=postgres", "--auth=trust"]);
        run(initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])).await?;
        primary.start().await?;
        primary.execute("CREATE ROLE kabar LOGIN PASSWORD 'kabar'").await?;
        primary.execute("CREATE DATABASE kabar OWNER kabar ENCODING 'UTF8' TEMPLATE template0").await?;
        if standby {
            server.instances.push(Instance::create().await?);
            server.build_standby().await?;
        }
        Ok(server)
    }

    /// Where the instances listen; the first one was the first primary.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.instances.iter().map(|instance| ([127, 0, 0, 1], instance.port).into()).collect()
    }

    /// Whether there is a standby to fail over to.
    pub const fn has_standby(&self) -> bool {
        self.instances.len() > 1
    }

    /// Stops or continues every process of the primary.
    pub fn freeze(&self, frozen: bool) {
        let Some(pid) = self.instances[self.primary].pid() else { return };
        if frozen {
            // The first one starts the others: without it there come no more.
            os_process::signal(pid, Signal::STOP);
        }
        for child in os_process::children_of(pid) {
            os_process::signal(child, if frozen { Signal::STOP } else { Signal::CONT });
        }
        if !frozen {
            os_process::signal(pid, Signal::CONT);
        }
    }

    /// Ends the primary as a crash would (`immediate`).
    pub async fn crash(&mut self) {
        self.instances[self.primary].crash().await;
    }

    /// Starts the primary on its files again.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.instances[self.primary].start().await
    }

    /// Makes the standby the primary; the old one must have ended.
    pub async fn promote(&mut self) -> anyhow::Result<()> {
        self.primary = 1 - self.primary;
        let new = &self.instances[self.primary];
        // The new primary has no standby yet and must not wait for one.
        new.execute("ALTER SYSTEM SET synchronous_standby_names = ''").await.ok();
        new.execute("SELECT pg_promote(true, 20)").await?;
        new.execute("ALTER SYSTEM RESET synchronous_standby_names").await?;
        new.execute("SELECT pg_reload_conf()").await
    }

    /// Makes the other instance a synchronous standby of the primary, from a fresh base backup.
    pub async fn build_standby(&mut self) -> anyhow::Result<()> {
        let other = 1 - self.primary;
        let primary = format!("postgres://postgres@127.0.0.1:{}/postgres", self.instances[self.primary].port);
        let standby = &mut self.instances[other];
        standby.crash().await;
        run(as_owner("rm").arg("-rf").arg(standby.files())).await?;
        let mut backup = as_owner(&program("pg_basebackup"));
        backup.arg("--pgdata").arg(standby.files()).arg("--dbname");
        backup.arg(format!("{primary}?application_name={STANDBY}"));
        run(backup.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"]))
            .await?;
        standby.start().await?;
        let primary = &self.instances[self.primary];
        let named = format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'");
        primary.execute(&named).await?;
        primary.execute("SELECT pg_reload_conf()").await?;
        for _ in 0..400 {
            let state = primary.query("SELECT sync_state FROM pg_stat_replication").await?;
            if state.trim() == "sync" {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the standby does not become synchronous")
    }
}

impl Instance {
    async fn create() -> anyhow::Result<Self> {
        let folder = run(as_owner("mktemp").args(["-d", "/tmp/kabar-checker-postgres.XXXXXX"])).await?;
        Ok(Self { folder: folder.trim().into(), port: os_process::free_port(), process: None })
    }

    fn files(&self) -> PathBuf {
        self.folder.join("db")
    }

    fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::create(Path::new("/dev/null"))?;
        let process = as_owner(&program("postgres"))
            .arg("-D")
            .arg(self.files())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=64MB"])
            .args(["-c", &format!("port={}", self.port), "-c", "max_connections=200"])
            .args(["-c", "max_wal_senders=4", "-c", "wal_sender_timeout=5s", "-c"])
            .arg(format!("unix_socket_directories={}", self.folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("postgres")?;
        self.process = Some(process);
        for _ in 0..1200 {
            if self.query("SELECT 1").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        anyhow::bail!("postgres does not take connections")
    }

    async fn crash(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if let Some(pid) = process.id() {
            os_process::signal(pid, Signal::QUIT);
            os_process::signal(pid, Signal::CONT);
        }
        if tokio::time::timeout(Duration::from_secs(10), process.wait()).await.is_err() {
            let _gone = process.kill().await;
        }
    }

    async fn execute(&self, statement: &str) -> anyhow::Result<()> {
        self.query(statement).await.map(|_| ())
    }

    async fn query(&self, statement: &str) -> anyhow::Result<String> {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres?connect_timeout=5", self.port);
        run(Command::new("psql").args(["--no-psqlrc", "-qAtc", statement, &url])).await
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let children = os_process::children_of(pid);
            for pid in [pid].into_iter().chain(children) {
                os_process::signal(pid, Signal::KILL);
            }
        }
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

/// One of PostgreSQL's programs, of the newest version that is installed.
fn program(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .max_by_key(|path| path.to_string_lossy().split('/').find_map(|part| part.parse::<u32>().ok()));
    newest.map_or_else(|| name.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// A command under the user that PostgreSQL's files belong to.
fn as_owner(program: &str) -> Command {
    let mut command = if os_process::is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    command.kill_on_drop(true).current_dir("/tmp");
    command
}

/// What a command prints that succeeds.
async fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {printed}{complaint}");
    Ok(printed)
}
