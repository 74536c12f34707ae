//! Load by strangers: connections that say nothing, half of something, or much without a key.
//!
//! Invariant: a connection that the server closes, or that is answered with a refusal, is followed by another one at
//! once, so that as many are there all the time.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::wire;

/// Connections of the strangers.
const CONNECTIONS: usize = 1_000;
/// Bytes of a body that is said to come.
const BODY_BYTES: usize = 3 << 20;
/// Pause between two bytes of a body that trickles in.
const TRICKLE: Duration = Duration::from_millis(500);
/// Pause after a connection that ended at once, so that the load generator leaves the processor to the server.
const PAUSE: Duration = Duration::from_millis(20);
const SIGNATURE: &str =
    "X-Hub-Signature-256: sha256=0000000000000000000000000000000000000000000000000000000000000000";

/// Habit of the strangers.
#[derive(Debug, Clone, Copy)]
pub(super) enum StrangerHabit {
    /// They say nothing.
    Silence,
    /// They begin HTTP/1 or HTTP/2, and do not go on.
    HalfHead,
    /// They say that a signed webhook comes, and send a byte now and then.
    TricklingBody,
    /// They send webhooks with wrong signatures.
    ForgedWebhook,
    /// They try keys.
    UnknownKey,
}

impl StrangerHabit {
    pub(super) const ALL: [Self; 5] =
        [Self::Silence, Self::HalfHead, Self::TricklingBody, Self::ForgedWebhook, Self::UnknownKey];

    /// Returns its name for the report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silent connections",
            Self::HalfHead => "half requests",
            Self::TricklingBody => "bodies that trickle",
            Self::ForgedWebhook => "forged webhooks",
            Self::UnknownKey => "unknown keys",
        }
    }

    fn opening(self, nth: usize) -> Bytes {
        match self {
            Self::Silence => Bytes::new(),
            Self::HalfHead => {
                let halves: [&'static [u8]; 3] =
                    [b"P", b"PRI * HTTP/2.0\r\n", b"GET /v1/me HTTP/1.1\r\nHost: k\r\n"];
                halves.get(nth % halves.len()).copied().map(Bytes::from_static).unwrap_or_default()
            }
            Self::TricklingBody => format!(
                "POST /webhooks/whatsapp HTTP/1.1\r\nHost: kabar\r\nContent-Type: application/json\r\n\
                 {SIGNATURE}\r\nContent-Length: {BODY_BYTES}\r\n\r\n{{"
            )
            .into(),
            Self::ForgedWebhook => {
                wire::request("POST", "/webhooks/whatsapp", &[SIGNATURE], &vec![b' '; BODY_BYTES])
            }
            Self::UnknownKey => {
                let key = format!("Authorization: Bearer kdv_live_{nth:032}");
                wire::request("GET", "/v1/me", &[&key], &[])
            }
        }
    }

    /// Starts the load.
    pub(super) fn start_load(self, address: SocketAddr) -> JoinSet<anyhow::Result<()>> {
        let mut load = JoinSet::new();
        let first = self.opening(0);
        for nth in 0..CONNECTIONS {
            // One body for all.
            let opening = if matches!(self, Self::ForgedWebhook) { first.clone() } else { self.opening(nth) };
            let trickles = matches!(self, Self::TricklingBody);
            load.spawn(async move {
                loop {
                    // A refused or broken connection is what a stranger may expect.
                    let _ended = hold_connection(address, &opening, trickles).await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        load
    }
}

/// Opens a connection, sends the opening, and stays until the server has answered or closes it.
async fn hold_connection(address: SocketAddr, opening: &[u8], trickles: bool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(opening).await?;
    let mut answer = [0; 1024];
    if !trickles {
        return stream.read(&mut answer).await.map(drop);
    }
    loop {
        match tokio::time::timeout(TRICKLE, stream.read(&mut answer)).await {
            Ok(ended) => return ended.map(drop),
            Err(_silent) => stream.write_all(b" ").await?,
        }
    }
}
