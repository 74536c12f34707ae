//! Processes of the system: signals, children, callers of connections, free ports.
//!
//! Invariant: only processes that the checker started are signalled.

use std::net::TcpListener;
use std::path::Path;

use rand::RngExt as _;
use rustix::process::{Pid, Signal, kill_process};

/// Signals a process; one that is gone needs no signal.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}

/// The children of a process.
pub fn children_of(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// A port on which nothing listens, from a range of which the system gives none to others.
pub fn free_port() -> u16 {
    loop {
        let port = rand::rng().random_range(30_000_u16..32_700);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Which of these processes has a TCP connection from this local port.
pub fn find_caller(port: u16, pids: &[Option<u32>]) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let end = format!(":{port:04X}");
    let inode = table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (columns.get(1)?.ends_with(&end)).then(|| columns.get(9).map(ToString::to_string))?
    })?;
    let name = format!("socket:[{inode}]");
    pids.iter().position(|pid| pid.is_some_and(|pid| has_file(pid, &name)))
}

fn has_file(pid: u32, name: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|link| link == Path::new(name))
}

/// Whether the checker runs as root, as which PostgreSQL refuses to run.
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
