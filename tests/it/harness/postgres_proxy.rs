//! A wire between kabar and PostgreSQL, on which the answer to one statement can be lost, and which can
//! lead to another server, as a name that moves does.
//!
//! The statement is known by words among the values that are bound to it. What is asked before it is
//! carried out (its plan, on a new connection), and whatever others ask, is answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The message that carries a statement out begins with this (PostgreSQL's protocol, "Bind").
const BIND: u8 = b'B';
/// Bytes carried at a time: more than any statement here.
const PART: usize = 1 << 20;

#[derive(Default)]
struct State {
    /// Where connections that come now lead.
    port: AtomicU16,
    /// Whoever says all of these hears nothing any more; nobody while there are none.
    words: Mutex<Vec<String>>,
    /// Ends the connections there are.
    cut: Mutex<CancellationToken>,
}

impl State {
    fn is_meant(&self, part: &[u8]) -> bool {
        let words = self.words.lock().unwrap();
        let said = |word: &String| part.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        part.first() == Some(&BIND) && !words.is_empty() && words.iter().all(said)
    }
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
        let state = Arc::new(State { port: AtomicU16::new(port), ..State::default() });
        let end = CancellationToken::new();
        let (shared, over) = (state.clone(), end.clone());
        let tasks = TaskTracker::new();
        let connections = tasks.clone();
        tasks.spawn(over.run_until_cancelled_owned(async move {
            while let Ok((near, _peer)) = listener.accept().await {
                let cut = shared.cut.lock().unwrap().clone();
                let state = shared.clone();
                connections.spawn(async move { cut.run_until_cancelled(carry(near, &state)).await });
            }
        }));
        Self { address, state, _end: end.drop_guard() }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections that come from now on lead to the server at this port; those there are stay.
    pub(crate) fn lead_to(&self, port: u16) {
        self.state.port.store(port, Ordering::SeqCst);
    }

    /// A statement with all of these words still arrives, and nobody learns of it.
    pub(crate) fn lose_answer_to(&self, words: &[&str]) {
        *self.state.words.lock().unwrap() = words.iter().map(ToString::to_string).collect();
    }

    /// Ends every connection; those that come are whole again.
    pub(crate) fn cut(&self) {
        self.lose_answer_to(&[]);
        std::mem::take(&mut *self.state.cut.lock().unwrap()).cancel();
    }
}

async fn carry(near: TcpStream, state: &State) -> std::io::Result<()> {
    let far = TcpStream::connect(("127.0.0.1", state.port.load(Ordering::SeqCst))).await?;
    let ((mut asks, mut hears), (mut answers, mut takes)) = (near.into_split(), far.into_split());
    let lost = AtomicBool::new(false);
    let there = async {
        let mut part = vec![0; PART];
        loop {
            let read = asks.read(&mut part).await?;
            if read == 0 {
                return Ok(());
            }
            if state.is_meant(&part[..read]) {
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
