//! TCP proxies: one link for each directed pair of processes, which can be cut, held, slowed and healed.
//!
//! Invariants: an open link carries bytes unchanged and in order. A held link loses nothing: what was sent
//! arrives after it is healed, as with a network that comes back within TCP's patience. A cut link ends its
//! connections, and those that are tried while it is cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// A connection that is not there after this time finds the queue full.
const QUEUE_TIME: Duration = Duration::from_millis(30);

/// How a link behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// Carries everything.
    #[default]
    Open,
    /// Ends connections and refuses new ones.
    Cut,
    /// Carries nothing in either direction; connections stay.
    Held,
    /// Carries nothing from the caller; answers still pass.
    HeldForward,
    /// Carries nothing back to the caller; requests still pass.
    HeldBackward,
    /// Carries each part so much later.
    Slow(Duration),
    /// Answers no attempt to connect; connections that there are carry everything. Only for a proxy with one link.
    ConnectHeld,
}

/// A directed pair of processes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NetworkLink {
    mode: Arc<watch::Sender<LinkMode>>,
}

impl Default for NetworkLink {
    fn default() -> Self {
        Self { mode: Arc::new(watch::Sender::new(LinkMode::Open)) }
    }
}

impl NetworkLink {
    /// Changes how it behaves, for connections that there are and for new ones.
    pub fn set(&self, mode: LinkMode) {
        self.mode.send_replace(mode);
    }

    /// Waits until connecting is held, or until it is not.
    async fn wait_for_connect_held(&self, held: bool) {
        let mut mode = self.mode.subscribe();
        let _gone = mode.wait_for(|mode| (*mode == LinkMode::ConnectHeld) == held).await;
    }
}

/// Finds the link of a connection by the caller's port.
pub type FindLink = Arc<dyn Fn(u16) -> NetworkLink + Send + Sync>;

/// A listener that carries connections to a target.
#[derive(Debug)]
pub struct TcpProxy {
    /// Where it listens.
    pub address: SocketAddr,
}

impl TcpProxy {
    /// A proxy with one link for all callers.
    pub async fn start(target: SocketAddr, link: NetworkLink) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = link.wait_for_connect_held(true) => {
                        let _queued = hold_connects(&listener, address).await;
                        link.wait_for_connect_held(false).await;
                        let _best_effort = rustix::net::listen(&listener, BACKLOG);
                    }
                    accepted = listener.accept() => {
                        let Ok((near, _)) = accepted else { continue };
                        let link = link.clone();
                        tokio::spawn(async move {
                            let _ended = carry(near, target, link).await;
                        });
                    }
                }
            }
        });
        Ok(Self { address })
    }

    /// A proxy that finds out who calls.
    pub async fn start_shared(target: SocketAddr, find: FindLink) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            loop {
                let Ok((near, peer)) = listener.accept().await else { continue };
                let link = find(peer.port());
                tokio::spawn(async move {
                    let _ended = carry(near, target, link).await;
                });
            }
        });
        Ok(Self { address })
    }
}

/// Fills the queue of connections that nothing accepts, so that the system answers no further SYN: the caller sends
/// it again each second, and waits in `connect`. Returns the connections that fill it.
async fn hold_connects(listener: &TcpListener, address: SocketAddr) -> Vec<TcpStream> {
    let mut queued = Vec::new();
    if rustix::net::listen(listener, 0).is_ok() {
        while let Ok(Ok(stream)) = timeout(QUEUE_TIME, TcpStream::connect(address)).await {
            queued.push(stream);
        }
    }
    queued
}

async fn carry(near: TcpStream, target: SocketAddr, link: NetworkLink) -> std::io::Result<()> {
    let mut mode = link.mode.subscribe();
    // A SYN gets no answer while the link is held; here the connection is there already, and stays silent.
    while matches!(*mode.borrow_and_update(), LinkMode::Held | LinkMode::HeldForward) {
        if mode.changed().await.is_err() {
            return Ok(());
        }
    }
    if *mode.borrow() == LinkMode::Cut {
        return reset(near);
    }
    let Ok(far) = TcpStream::connect(target).await else { return reset(near) };
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let cut = async {
        let mut mode = link.mode.subscribe();
        let _gone = mode.wait_for(|mode| *mode == LinkMode::Cut).await;
    };
    let forward = copy(&mut near_read, &mut far_write, link.mode.subscribe(), LinkMode::HeldForward);
    let backward = copy(&mut far_read, &mut near_write, link.mode.subscribe(), LinkMode::HeldBackward);
    tokio::select! {
        () = cut => {}
        // Either side may end first; each end is passed on.
        _ = async { tokio::join!(forward, backward) } => {}
    }
    Ok(())
}

/// Ends a connection at once.
fn reset(stream: TcpStream) -> std::io::Result<()> {
    stream.set_zero_linger()?;
    drop(stream);
    Ok(())
}

async fn copy(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    mut mode: watch::Receiver<LinkMode>,
    held: LinkMode,
) {
    let mut part = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut part).await {
        loop {
            let now = *mode.borrow_and_update();
            if now == LinkMode::Held || now == held {
                if mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
            if let LinkMode::Slow(delay) = now {
                tokio::time::sleep(delay).await;
            }
            break;
        }
        if to.write_all(&part[..length]).await.is_err() {
            break;
        }
    }
    let _gone = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_carried(stream: &mut TcpStream) -> bool {
        let mut echo = [0; 4];
        stream.write_all(b"ping").await.is_ok()
            && stream.read_exact(&mut echo).await.is_ok()
            && echo == *b"ping"
    }

    #[tokio::test]
    async fn a_held_connect_waits_while_open_connections_carry_on() -> anyhow::Result<()> {
        let target = TcpListener::bind("127.0.0.1:0").await?;
        let (target_address, link) = (target.local_addr()?, NetworkLink::default());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = target.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ended = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let address = TcpProxy::start(target_address, link.clone()).await?.address;
        let mut before = TcpStream::connect(address).await?;
        assert!(is_carried(&mut before).await);
        link.set(LinkMode::ConnectHeld);
        // Ends when no connection comes about any more.
        while let Ok(connected) = timeout(QUEUE_TIME, TcpStream::connect(address)).await {
            drop(connected?);
        }
        assert!(is_carried(&mut before).await);
        let held = tokio::spawn(TcpStream::connect(address));
        while !crate::os_process::is_connecting(address.port()) {
            tokio::task::yield_now().await;
        }
        link.set(LinkMode::Open);
        let (mut held, mut after) = (held.await??, TcpStream::connect(address).await?);
        assert!(is_carried(&mut held).await && is_carried(&mut after).await);
        Ok(())
    }
}
