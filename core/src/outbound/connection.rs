//! One connection to one address: its setup, and the exchange of a request over it.
//!
//! Invariants: the connection leads to exactly the address that was checked, and a certificate is checked
//! against the name. Its user drives it, so an idle one costs no task. One that was not left clean (response
//! cut off, request unread) is never used again.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::{OutboundTarget, TargetHost};
use super::{OutboundAnswer, OutboundError};

/// Time for one address to accept; then the next one is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Bytes of a response's head, at most.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header fields of a response, at most.
const FIELDS_MAX: usize = 100;

trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

type HyperConnection = Connection<TokioIo<Box<dyn ByteStream>>, Full<Bytes>>;

/// One HTTP/1.1 connection to one address.
pub(super) struct OutboundConnection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<HyperConnection>,
    /// Time of its last use.
    pub(super) used: Instant,
}

/// Reason for which there is no response.
pub(super) enum ConnectionLost {
    /// The request was not sent, and is returned for another try.
    Unsent(Box<Request<Full<Bytes>>>),
    /// The request may have arrived.
    Broken(hyper::Error),
}

impl OutboundConnection {
    /// Connects to this address.
    pub(super) async fn open_connection(
        target: &OutboundTarget,
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self, OutboundError> {
        let connecting = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address)).await;
        let stream = connecting.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(OutboundError::Unreached)?;
        let stream: Box<dyn ByteStream> = if target.secure {
            let name = match &target.host {
                TargetHost::Name(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other),
                TargetHost::Address(address) => Ok(ServerName::from(*address)),
            };
            let name = name.map_err(OutboundError::Untrusted)?;
            let secured = TlsConnector::from(tls.clone()).connect(name, stream).await;
            Box::new(secured.map_err(OutboundError::Untrusted)?)
        } else {
            Box::new(stream)
        };
        let handshake = http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_headers(FIELDS_MAX)
            // Header names as they are documented.
            .title_case_headers(true)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(OutboundError::Broken)?;
        Ok(Self { sender, connection: Some(connection), used: Instant::now() })
    }

    /// Drives the connection as far as possible without waiting. Returns `true` when it can take a request
    /// afterwards.
    pub(super) async fn drive_pending(&mut self) -> bool {
        poll_fn(|context| {
            if let Some(connection) = &mut self.connection
                && Pin::new(connection).poll(context).is_ready()
            {
                self.connection = None;
            }
            Poll::Ready(())
        })
        .await;
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request and reads its response, with at most `body_bytes_max` bytes of the body.
    pub(super) async fn exchange_request(
        &mut self,
        request: Request<Full<Bytes>>,
        body_bytes_max: usize,
    ) -> Result<OutboundAnswer, ConnectionLost> {
        let sent = self.sender.try_send_request(request);
        let answer = drive_until(&mut self.connection, sent).await.map_err(|mut error| {
            error.take_message().map_or_else(
                || ConnectionLost::Broken(error.into_error()),
                |request| ConnectionLost::Unsent(Box::new(request)),
            )
        })?;
        let reading = read_body(answer, body_bytes_max);
        let answer = drive_until(&mut self.connection, reading).await.map_err(ConnectionLost::Broken)?;
        self.used = Instant::now();
        Ok(answer)
    }
}

/// Runs a future that needs the connection to be driven.
async fn drive_until<C: Future + Unpin, T>(connection: &mut Option<C>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if let Some(moving) = connection
            && Pin::new(moving).poll(context).is_ready()
        {
            // Work that waits for the connection learns of its end when it is dropped.
            *connection = None;
            return work.as_mut().poll(context);
        }
        Poll::Pending
    })
    .await
}

async fn read_body(answer: Response<Incoming>, bytes_max: usize) -> Result<OutboundAnswer, hyper::Error> {
    let (head, mut incoming) = answer.into_parts();
    let (mut body, mut truncated) = (BytesMut::new(), false);
    while let Some(frame) = incoming.frame().await {
        let Ok(chunk) = frame?.into_data() else { continue };
        let room = bytes_max - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() > room {
            truncated = true;
            break;
        }
    }
    Ok(OutboundAnswer { status: head.status, headers: head.headers, body: body.freeze(), truncated })
}
