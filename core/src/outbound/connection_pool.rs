//! Connections that wait for their next request.
//!
//! Invariants: one is found only under the address that it leads to, so whoever has checked that address
//! for this attempt may use it; it lies idle for less time than servers keep it; there is a bounded number.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::OutboundConnection;
use super::target::{OutboundTarget, TargetHost};

/// Node and uvicorn close after 5 s without a request.
const IDLE: Duration = Duration::from_secs(4);
/// Of one host and address.
const ALIKE_MAX: usize = 64;
/// In all.
const ALL_MAX: usize = 512;

#[derive(Clone, PartialEq, Eq, Hash)]
struct ConnectionKey {
    secure: bool,
    host: TargetHost,
    address: SocketAddr,
}

impl ConnectionKey {
    fn for_target(target: &OutboundTarget, address: SocketAddr) -> Self {
        Self { secure: target.secure, host: target.host.clone(), address }
    }
}

#[derive(Default)]
struct IdleConnections {
    wires: HashMap<ConnectionKey, Vec<OutboundConnection>>,
    count: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct ConnectionPool(Mutex<IdleConnections>);

impl ConnectionPool {
    fn lock_idle(&self) -> MutexGuard<'_, IdleConnections> {
        // Nobody panics half-way through a change of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last.
    pub(super) fn take_connection(
        &self,
        target: &OutboundTarget,
        address: SocketAddr,
    ) -> Option<OutboundConnection> {
        let mut idle = self.lock_idle();
        let place = ConnectionKey::for_target(target, address);
        let wires = idle.wires.get_mut(&place)?;
        let found = wires.pop();
        if wires.is_empty() {
            idle.wires.remove(&place);
        }
        idle.count -= usize::from(found.is_some());
        found.filter(|wire| wire.used.elapsed() < IDLE)
    }

    /// Keeps a connection, if there is room.
    pub(super) fn put_connection(
        &self,
        target: &OutboundTarget,
        address: SocketAddr,
        wire: OutboundConnection,
    ) {
        let mut idle = self.lock_idle();
        if idle.count >= ALL_MAX {
            return;
        }
        let wires = idle.wires.entry(ConnectionKey::for_target(target, address)).or_default();
        if wires.len() < ALIKE_MAX {
            wires.push(wire);
            idle.count += 1;
        }
    }

    /// Drops what has lain too long.
    pub(super) fn drop_idle(&self) {
        let now = Instant::now();
        let mut idle = self.lock_idle();
        idle.wires.retain(|_, wires| {
            wires.retain(|wire| now.duration_since(wire.used) < IDLE);
            !wires.is_empty()
        });
        idle.count = idle.wires.values().map(Vec::len).sum();
    }

    #[cfg(test)]
    pub(super) fn count_idle(&self) -> usize {
        self.lock_idle().count
    }
}
