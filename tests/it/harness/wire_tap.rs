//! A wire between kabar and PostgreSQL, on which the answers to commits can be lost.
//!
//! A commit is one statement. Its connection is known by the statement's text; what is asked before that
//! statement is carried out (its plan, on a new connection) is still answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How the text of a commit begins.
const COMMIT: &[u8] = b"WITH passed AS";
/// The message that carries a statement out begins with this (PostgreSQL's protocol, "Bind").
const BIND: u8 = b'B';
/// Bytes carried at a time.
const PART: usize = 65_536;

#[derive(Default)]
struct State {
    /// Answers are read and go nowhere.
    deaf: AtomicBool,
    /// Ends the connections there are.
    cut: Mutex<CancellationToken>,
}

/// See the module. It ends with this value.
pub(crate) struct WireTap {
    address: SocketAddr,
    state: Arc<State>,
    _end: DropGuard,
}

impl WireTap {
    /// A wire to the server at this port.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, end) = (Arc::<State>::default(), CancellationToken::new());
        let (shared, over) = (state.clone(), end.clone());
        let tasks = TaskTracker::new();
        let connections = tasks.clone();
        tasks.spawn(over.run_until_cancelled_owned(async move {
            while let Ok((near, _peer)) = listener.accept().await {
                let cut = shared.cut.lock().unwrap().clone();
                let state = shared.clone();
                connections.spawn(async move { cut.run_until_cancelled(carry(near, port, &state)).await });
            }
        }));
        Self { address, state, _end: end.drop_guard() }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Commits still arrive, and nobody learns of it.
    pub(crate) fn lose_answers(&self) {
        self.state.deaf.store(true, Ordering::SeqCst);
    }

    /// Ends every connection; those that come are whole again.
    pub(crate) fn cut(&self) {
        let old = std::mem::take(&mut *self.state.cut.lock().unwrap());
        self.state.deaf.store(false, Ordering::SeqCst);
        old.cancel();
    }
}

async fn carry(near: TcpStream, port: u16, state: &State) -> std::io::Result<()> {
    let far = TcpStream::connect(("127.0.0.1", port)).await?;
    let ((mut asks, mut hears), (mut answers, mut takes)) = (near.into_split(), far.into_split());
    // Whether this connection commits, and whether what it is answered is lost.
    let (mut commits, lost) = (false, AtomicBool::new(false));
    let there = async {
        let mut part = vec![0; PART];
        loop {
            let read = asks.read(&mut part).await?;
            if read == 0 {
                return Ok(());
            }
            commits |= part[..read].windows(COMMIT.len()).any(|words| words == COMMIT);
            if commits && part[0] == BIND && state.deaf.load(Ordering::SeqCst) {
                lost.store(true, Ordering::SeqCst);
            }
            takes.write_all(&part[..read]).await?;
        }
    };
    let back = async {
        let mut part = vec![0; PART];
        loop {
            let read = answers.read(&mut part).await?;
            if read == 0 {
                return Ok(());
            }
            if !lost.load(Ordering::SeqCst) {
                hears.write_all(&part[..read]).await?;
            }
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}
