//! Somebody who is called: an HTTP server as cheap as it can be, in the bench's own process.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// How long the last calls may take.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// What a receiver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Takes everything.
    Takes,
    /// Answers 500.
    Fails,
    /// Does not answer.
    Hangs,
}

/// Is shown each body.
pub(super) type Look = dyn Fn(&[u8]) + Send + Sync;

/// See the module.
pub(super) struct Receiver {
    /// `127.0.0.1:port`.
    pub(super) authority: String,
    /// Where it is called.
    pub(super) url: String,
    taken: Arc<AtomicU64>,
}

impl Receiver {
    pub(super) async fn start(manner: Manner, look: Arc<Look>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let authority = listener.local_addr()?.to_string();
        let url = format!("http://{authority}/");
        let taken = Arc::<AtomicU64>::default();
        let tasks = TaskTracker::new();
        let (count, connections) = (taken.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (count, look) = (count.clone(), look.clone());
                let answer = service_fn(move |request| take(request, manner, count.clone(), look.clone()));
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                // A server that goes away is no event here.
                connections.spawn(async move { serving.await.ok() });
            }
        });
        Ok(Self { authority, url, taken })
    }

    /// Returns when so many calls have come.
    pub(super) async fn until(&self, calls: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.taken.load(Ordering::Relaxed) < calls {
            if begun.elapsed() > WAIT_TIMEOUT {
                bail!("{} of {calls} calls came", self.taken.load(Ordering::Relaxed));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

async fn take(
    request: Request<hyper::body::Incoming>,
    manner: Manner,
    taken: Arc<AtomicU64>,
    look: Arc<Look>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    look(&body);
    taken.fetch_add(1, Ordering::Relaxed);
    let mut answer = Response::new(Full::default());
    match manner {
        Manner::Takes => {}
        Manner::Fails => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        Manner::Hangs => std::future::pending().await,
    }
    Ok(answer)
}
