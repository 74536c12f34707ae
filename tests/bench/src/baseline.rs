//! The yardstick: hyper and nothing else, answering 13 bytes to whatever is asked.
//!
//! It runs as a process of its own, as the server does, so that both are measured the same way.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// The whole answer.
pub(super) const BODY: &[u8] = b"Hello, World!";

/// Arguments of `kabar-bench baseline`.
#[derive(Debug, Clone, Args)]
pub(super) struct BaselineArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Answers until the process is ended.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn run_baseline(args: BaselineArgs) -> anyhow::Result<()> {
    answer(TcpListener::bind(args.listen).await?).await
}

pub(super) async fn answer(listener: TcpListener) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = service_fn(|_request: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY))))
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        // A peer that goes away is no event of a yardstick.
        connections.spawn(async move { connection.await.ok() });
    }
}
