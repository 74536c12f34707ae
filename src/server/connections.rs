//! Connections: accepted up to a limit and an address's share, served, and ended in order.
//!
//! Invariants: a client that hangs up cancels its request, so a long poll does not outlive its client; a client that does
//! not send a whole request in time is hung up on. poem's own server keeps such requests, and has no limit on connections
//! or on time; hence this loop over hyper. Memory of a connection is bounded by [`BUFFER_BYTES`] and the HTTP/2 windows.

mod activity;
mod head_guard;
mod overdue;
mod places;
mod timed_stream;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use kabar_core::address_block::AddressBlock;
use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::metrics::Metrics;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::activity::{ConnectionActivity, CountedBody};
pub(super) use self::overdue::RequestTimes;
use self::overdue::{ConnectionWatch, LOOK_EVERY};
pub(super) use self::places::ConnectionLimits;
use self::places::ConnectionPlaces;
use self::timed_stream::TimedStream;

/// Largest head of a request, and the most that hyper buffers of a connection in each direction.
const BUFFER_BYTES: usize = 32 * 1024;
/// Largest head of a request over HTTP/2.
const HEADER_LIST_BYTES: u32 = 32 * 1024;
/// Requests under way on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// Bytes that a client may send on an HTTP/2 stream, and on all of a connection, before they are read.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Silence after which an HTTP/2 client is asked for a sign of life, and the time that it has for it.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Pause after a failed accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Longest time that requests under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(15);

/// Surroundings of a listener's connections.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    /// Clock that measures a client's reading.
    pub(super) clock: Arc<Clock>,
    /// Clock that measures a client's requests. It is the machine's even where a test owns the time: a jump of that
    /// would hang up on the test's own clients.
    pub(super) request_clock: Arc<Clock>,
    /// Longest waits for a request.
    pub(super) times: RequestTimes,
    /// Counters.
    pub(super) metrics: Arc<Metrics>,
    /// Limits of the connections.
    pub(super) limits: ConnectionLimits,
    /// Tasks of the connections.
    pub(super) tasks: TaskTracker,
    /// Cancelled when no new connection is to be accepted.
    pub(super) stop: CancellationToken,
}

/// Serves until stopped, then lets requests under way finish.
pub(super) async fn serve<E>(listener: TcpListener, endpoint: E, context: ConnectionContext)
where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::new(endpoint);
    let places = ConnectionPlaces::new(context.limits);
    let graceful = GracefulShutdown::new();
    let mut watch = ConnectionWatch::new(context.times);
    let mut next_look = pin!(context.request_clock.sleep_for(LOOK_EVERY));
    loop {
        let accepted = tokio::select! {
            accepted = accept_connection(&listener, &places) => accepted,
            () = &mut next_look => {
                let overdue = watch.end_overdue(context.request_clock.monotonic_now());
                context.metrics.overdue_connections.inc_by(overdue);
                next_look.set(context.request_clock.sleep_for(LOOK_EVERY));
                continue;
            }
            () = context.stop.cancelled() => break,
        };
        let (stream, remote, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_clients_fault(&error) => continue,
            Err(error) => {
                tracing::warn!(error = cause(&error), "connection not accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(place) = places.take_place(AddressBlock::from_address(remote.ip()), permit) else {
            context.metrics.refused_connections.inc();
            continue;
        };
        let accepted_at = context.request_clock.monotonic_now();
        let activity = ConnectionActivity::new(accepted_at);
        let serving = serve_connection(stream, remote, endpoint.clone(), &activity, &context, &graceful);
        let open = OpenConnections::count_in(context.metrics.clone());
        let task = context.tasks.spawn(async move {
            serving.await;
            drop((place, open));
        });
        watch.add_connection(activity, task.abort_handle(), accepted_at);
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

/// Returns `true` for a connection that its client gave up before it was accepted.
fn is_clients_fault(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

/// Counts a connection in the gauge until it is dropped.
struct OpenConnections(Arc<Metrics>);

impl OpenConnections {
    fn count_in(metrics: Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for OpenConnections {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

async fn accept_connection(
    listener: &TcpListener,
    places: &ConnectionPlaces,
) -> std::io::Result<(TcpStream, SocketAddr, Option<OwnedSemaphorePermit>)> {
    let permit = places.wait_for_permit().await;
    let (stream, remote) = listener.accept().await?;
    // A client may have gone already; its connection ends by itself, and keeps no other from being accepted.
    let _best_effort = stream.set_nodelay(true);
    Ok((stream, remote, permit))
}

fn serve_connection<E>(
    stream: TcpStream,
    remote: SocketAddr,
    endpoint: Arc<E>,
    activity: &Arc<ConnectionActivity>,
    context: &ConnectionContext,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<E>
where
    E: Endpoint<Output = Response> + 'static,
{
    let local = stream
        .local_addr()
        .map_or_else(|_unknown| LocalAddr::default(), |at| LocalAddr(Addr::SocketAddr(at)));
    let remote = RemoteAddr(Addr::SocketAddr(remote));
    let counted = activity.clone();
    let answer = service_fn(move |request: poem::http::Request<Incoming>| {
        let under_way = counted.begin_request();
        let request = (request, local.clone(), remote.clone(), Scheme::HTTP).into();
        let endpoint = endpoint.clone();
        async move {
            let response: hyper::Response<_> = endpoint.get_response(request).await.into();
            Ok::<_, Infallible>(response.map(|body| CountedBody::new(body, under_way)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // `overdue` measures the time of a head.
    builder.http1().header_read_timeout(None::<Duration>).max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let stream = TimedStream::new(stream, activity.clone(), context);
    let serving = graceful.watch(builder.serve_connection(TokioIo::new(stream), answer).into_owned());
    async move {
        // A client that disconnects is no error.
        let _ended = serving.await;
    }
}
