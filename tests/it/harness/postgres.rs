//! A PostgreSQL server of a test's own, to be stopped, paused and started again, and its standby, to be
//! promoted.
//!
//! kabar's role and database are made as docs/operations.md says, so kabar is no superuser here.
//!
//! Invariants: it listens on loopback at one address for its whole life; it dies with this value, the
//! stopped and the paused one too, and its files with it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};
use tokio::sync::Mutex;

use super::{patiently, until};

/// What the server says once it takes connections; those of a standby are read-only ones.
const READY: &str = "database system is ready to accept ";

/// How a server is told to end; the signals of PostgreSQL's manual, "Shutting Down the Server".
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shutdown {
    /// Ends every session, and writes everything to its place.
    Fast,
    /// Ends without a word, as a crash does; the log is replayed at the next start.
    Immediate,
}

/// See the module.
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    max_connections: u16,
    running: Option<Process>,
}

impl Postgres {
    /// An empty server with room for so many connections.
    pub(crate) async fn start_with(max_connections: u16) -> Self {
        let mut server = Self::without_files(max_connections).await;
        let mut initdb = as_owner(&program("initdb"));
        initdb.arg("--pgdata").arg(server.folder.join("db")).args(["--username=postgres", "--auth=trust"]);
        said(initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])).await;
        server.start().await;
        let mut superuser = server.connect().await;
        for statement in made_by_hand() {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap();
        }
        server
    }

    /// A server on the files of a base backup of this one.
    pub(crate) async fn base_backup(&self) -> Self {
        let mut copy = Self::without_files(self.max_connections).await;
        let mut backup = as_owner(&program("pg_basebackup"));
        backup.arg("--pgdata").arg(copy.folder.join("db")).arg("--dbname").arg(self.superuser_url());
        said(backup.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync"])).await;
        copy.start().await;
        copy
    }

    /// A standby of this server, whose every commit waits for it from now on.
    pub(crate) async fn synchronous_standby(&self) -> Self {
        self.synchronous_standby_at(super::Child::lasting_address().port()).await
    }

    /// The same at this port, whose last server is gone.
    pub(crate) async fn synchronous_standby_at(&self, port: u16) -> Self {
        let name = format!("standby_{port}");
        let mut standby = Self::without_files(self.max_connections).await;
        standby.port = port;
        let mut backup = as_owner(&program("pg_basebackup"));
        let source = format!("{}?application_name={name}", self.superuser_url());
        backup.arg("--pgdata").arg(standby.folder.join("db")).arg("--dbname").arg(source);
        backup.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        said(&mut backup).await;
        standby.start().await;
        let mut superuser = self.connect().await;
        let names = sqlx::AssertSqlSafe(format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
        sqlx::raw_sql(names).execute(&mut superuser).await.unwrap();
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut superuser).await.unwrap();
        let sql = "SELECT count(*) FROM pg_stat_replication \
                   WHERE application_name = $1 AND sync_state = 'sync' AND state = 'streaming'";
        let following = || sqlx::query_scalar::<_, i64>(sql).bind(&name);
        let superuser = Mutex::new(superuser);
        until(async || following().fetch_one(&mut *superuser.lock().await).await.unwrap() > 0).await;
        standby
    }

    /// Makes a standby a primary, and waits until it is one.
    pub(crate) async fn promote(&self) {
        let promoted = sqlx::query_scalar("SELECT pg_promote()");
        assert!(promoted.fetch_one(&mut self.connect().await).await.unwrap_or(false));
    }

    async fn without_files(max_connections: u16) -> Self {
        let folder = said(as_owner("mktemp").args(["-d", "/tmp/kabar-postgres.XXXXXX"])).await;
        let port = super::Child::lasting_address().port();
        Self { folder: folder.trim().into(), port, max_connections, running: None }
    }

    /// A folder for files beside its own; its owner may write there.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// An empty server.
    pub(crate) async fn fresh() -> Self {
        Self::start_with(100).await
    }

    /// The address of kabar's database.
    pub(crate) fn url(&self) -> String {
        Self::url_at(self.port)
    }

    /// The same by way of another port.
    pub(crate) fn url_at(port: u16) -> String {
        format!("postgres://kabar@127.0.0.1:{port}/kabar")
    }

    /// The address of kabar's database on the servers at these ports, of which one is the primary.
    pub(crate) fn url_of_any(ports: [u16; 2]) -> String {
        let [first, second] = ports;
        format!("postgres://kabar@127.0.0.1:{first},127.0.0.1:{second}/kabar?target_session_attrs=read-write")
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    fn superuser_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The superuser's connection.
    pub(crate) async fn connect(&self) -> PgConnection {
        patiently(PgConnection::connect(&self.superuser_url())).await.unwrap()
    }

    /// Starts, for the first time or again, and waits until it takes connections.
    pub(crate) async fn start(&mut self) {
        let mut process = as_owner(&program("postgres"))
            .arg("-D")
            .arg(self.folder.join("db"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB"])
            .args(["-c", &format!("port={}", self.port), "-c", "superuser_reserved_connections=0"])
            .args(["-c", &format!("max_connections={}", self.max_connections), "-c", "max_wal_senders=4"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.folder.display()))
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut log = String::new();
        patiently(async {
            loop {
                let line = lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended early:\n{log}"));
                if line.contains(READY) {
                    break;
                }
                log = log + &line + "\n";
            }
        })
        .await;
        // Read on, so that the pipe never fills.
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.running = Some(process);
    }

    /// Ends it and waits for that.
    pub(crate) async fn stop(&mut self, how: Shutdown) {
        let mut process = self.running.take().expect("it runs");
        let how = match how {
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        };
        signal(how, &[process.id().expect("it runs")]);
        patiently(process.wait()).await.unwrap();
    }

    /// Ends all its processes in the middle of what they do (SIGKILL), for good.
    pub(crate) async fn kill(mut self) {
        let mut process = self.running.take().expect("it runs");
        let pid = process.id().expect("it runs");
        let children = children_of(pid);
        signal("KILL", &[pid]);
        signal("KILL", &children);
        patiently(process.wait()).await.unwrap();
    }

    /// Stops all its processes where they are: connections stay open, and nothing is answered.
    pub(crate) fn pause(&self) {
        // The first one starts the others: without it there come no more.
        signal("STOP", &[self.pid()]);
        signal("STOP", &children_of(self.pid()));
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) {
        let mut all = children_of(self.pid());
        all.push(self.pid());
        signal("CONT", &all);
    }

    fn pid(&self) -> u32 {
        self.running.as_ref().and_then(Process::id).expect("it runs")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = self.running.as_ref().and_then(Process::id) {
            let children = children_of(pid);
            signal("KILL", &[pid]);
            signal("KILL", &children);
        }
        // What is left in a folder of temporary files harms nobody.
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

/// The statements that the operator's manual has for a superuser.
fn made_by_hand() -> Vec<String> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, rest) = manual.split_once("```sql\n").unwrap();
    let (statements, _) = rest.split_once("```").unwrap();
    statements.split(';').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// One of PostgreSQL's programs, of the newest version that is installed.
pub(crate) fn program(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .max_by_key(|path| path.to_string_lossy().split('/').find_map(|part| part.parse::<u32>().ok()));
    newest.map_or_else(|| name.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// A command under the user whom PostgreSQL's files belong to: it refuses to run as root, and Debian's
/// package brings a user for it.
pub(crate) fn as_owner(program: &str) -> Command {
    let am_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = if am_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    command.kill_on_drop(true).current_dir("/tmp");
    command
}

/// What a command says that succeeds.
pub(crate) async fn said(command: &mut Command) -> String {
    let output = patiently(command.stdin(Stdio::null()).output()).await.unwrap();
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", words(&output.stdout), words(&output.stderr));
    words(&output.stdout)
}

fn children_of(pid: u32) -> Vec<u32> {
    let listed = Path::new("/proc").join(format!("{pid}/task/{pid}/children"));
    let listed = std::fs::read_to_string(listed).unwrap_or_default();
    listed.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Signals processes; one that is gone already needs no telling.
fn signal(name: &str, pids: &[u32]) {
    for pid in pids {
        let pid = pid.to_string();
        let sent = std::process::Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid])
            .stderr(Stdio::null())
            .status();
        let _gone = sent.unwrap();
    }
}
