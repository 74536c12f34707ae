//! Pool of idle connections.
//!
//! Invariants: a connection is found only under the address that it leads to, so an attempt that has checked
//! that address may use it. It stays idle for less time than servers keep it. The number of connections is
//! bounded.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::OutboundConnection;
use super::target::{OutboundTarget, TargetHost};

/// Time that a connection stays idle, at most. Node and uvicorn close after 5 s without a request.
const IDLE: Duration = Duration::from_secs(4);
/// Connections of one host and address, at most.
const ALIKE_MAX: usize = 64;
/// Connections in all, at most.
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

/// Idle connections by host and address.
#[derive(Default)]
pub(super) struct ConnectionPool(Mutex<IdleConnections>);

impl ConnectionPool {
    fn lock_idle(&self) -> MutexGuard<'_, IdleConnections> {
        // No code panics in the middle of a change of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that was used last, unless it has been idle too long.
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

    /// Drops connections that have been idle too long.
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
