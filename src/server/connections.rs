//! Connections: accepted up to a limit, served, and ended in order.
//!
//! Invariant: a client that hangs up cancels its request, so a long poll does not outlive its client. poem's
//! own server keeps such a request until it answers, and has no limit on connections or on the time that a
//! request's head may take; hence this loop over hyper.

mod timed_stream;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use kabar_core::cause::cause;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use timed_stream::TimedStream;
pub(super) use timed_stream::WriteTimeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at a time; further clients wait to be accepted.
const CONNECTIONS_MAX: usize = 20_000;
/// Longest time that a connection may be idle, or a request's head may take. It is longer than the longest
/// long poll, so that a client can poll again on the same connection.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// Pause after a failed accept, e.g. for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Longest time that requests under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(15);

/// Serves until stopped, then lets requests under way finish.
pub(super) async fn serve<E>(
    listener: TcpListener,
    endpoint: E,
    write_timeout: WriteTimeout,
    stop: CancellationToken,
    tasks: TaskTracker,
) where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::new(endpoint);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept_connection(&listener, &places) => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = cause(&error), "connection not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let serving = serve_connection(stream, endpoint.clone(), &write_timeout, &graceful);
        tasks.spawn(async move {
            serving.await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

async fn accept_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so this never fails.
    let place = places.clone().acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

fn serve_connection<E>(
    stream: TcpStream,
    endpoint: Arc<E>,
    write_timeout: &WriteTimeout,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<E>
where
    E: Endpoint<Output = Response> + 'static,
{
    let local = stream
        .local_addr()
        .map_or_else(|_unknown| LocalAddr::default(), |at| LocalAddr(Addr::SocketAddr(at)));
    let remote =
        stream.peer_addr().map_or_else(|_gone| RemoteAddr::default(), |at| RemoteAddr(Addr::SocketAddr(at)));
    let answer = service_fn(move |request: poem::http::Request<Incoming>| {
        let request = (request, local.clone(), remote.clone(), Scheme::HTTP).into();
        let endpoint = endpoint.clone();
        async move { Ok::<hyper::Response<_>, Infallible>(endpoint.get_response(request).await.into()) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
    let stream = TokioIo::new(TimedStream::new(stream, write_timeout.clone()));
    let serving = graceful.watch(builder.serve_connection(stream, answer).into_owned());
    async move {
        // A client that disconnects is no error.
        let _ended = serving.await;
    }
}
