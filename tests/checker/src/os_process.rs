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

/// Returns `true` when a connection to this local port is being made and is not there yet.
pub fn is_connecting(port: u16) -> bool {
    std::fs::read_to_string("/proc/net/tcp").is_ok_and(|table| has_syn_sent(&table, port))
}

/// Finds a socket to this port in state `SYN_SENT` in the text of `/proc/net/tcp`.
fn has_syn_sent(table: &str, port: u16) -> bool {
    let end = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut columns = line.split_whitespace().skip(2);
        columns.next().is_some_and(|remote| remote.ends_with(&end)) && columns.next() == Some("02")
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_being_made_is_told_from_one_that_is_there() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
                     0: 0100007F:7531 00000000:0000 0A 00000000:00000000 00:00000000\n\
                     1: 0100007F:A1B2 0100007F:7531 01 00000000:00000000 00:00000000\n\
                     2: 0100007F:A1B4 0100007F:7532 02 00000001:00000000 01:00000064\n";
        assert!(has_syn_sent(table, 0x7532));
        assert!(!has_syn_sent(table, 0x7531) && !has_syn_sent(table, 0xA1B4));
    }
}
