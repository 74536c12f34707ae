//! An HTTP server in the checker's process, for those whom kabar calls.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request whose body has been read.
pub type ReadRequest = Request<Bytes>;

/// What a stub answers.
#[derive(Debug)]
pub enum StubAnswer {
    /// A status code and a body.
    Answer(u16, String),
    /// The connection ends without an answer.
    Hangup,
}

/// Serves requests by a function, on a port of loopback.
pub async fn serve<F, R>(handle: F) -> anyhow::Result<SocketAddr>
where
    F: Fn(u16, ReadRequest) -> R + Send + Sync + 'static,
    R: Future<Output = StubAnswer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let handle = Arc::new(handle);
    tokio::spawn(async move {
        loop {
            let Ok((stream, peer)) = listener.accept().await else { continue };
            let _best_effort = stream.set_nodelay(true);
            let handle = handle.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(handle.clone(), peer.port(), request));
                let http = hyper::server::conn::http1::Builder::new();
                let _ended = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

async fn answer<F, R>(
    handle: Arc<F>,
    port: u16,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>>
where
    F: Fn(u16, ReadRequest) -> R,
    R: Future<Output = StubAnswer>,
{
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    match handle(port, Request::from_parts(parts, body)).await {
        StubAnswer::Answer(status, body) => {
            let response = Response::builder().status(status).header("Content-Type", "application/json");
            Ok(response.body(Full::new(Bytes::from(body)))?)
        }
        // An error of the service ends the connection.
        StubAnswer::Hangup => anyhow::bail!("hung up on purpose"),
    }
}
