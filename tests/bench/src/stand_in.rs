//! WhatsApp, as cheap as it can be: takes every send at once, and tells who listens.
//!
//! The simulator is richer, and would cost more than what is measured beside it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Taken and not told yet; more than any run leaves.
const UNTOLD_MAX: usize = 1_000_000;

/// A message that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) wamid: String,
    pub(super) echo: String,
    pub(super) to: String,
}

/// A running stand-in. It ends with the bench.
pub(super) struct StandIn {
    pub(super) base_url: String,
    handed: Arc<AtomicU64>,
    pub(super) taken: mpsc::Receiver<Taken>,
}

impl StandIn {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let handed = Arc::new(AtomicU64::new(0));
        let (tell, taken) = mpsc::channel(UNTOLD_MAX);
        let tasks = TaskTracker::new();
        let (count, connections) = (handed.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (count, tell) = (count.clone(), tell.clone());
                let answer = service_fn(move |request| take(request, count.clone(), tell.clone()));
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                // A server that goes away is no event here.
                connections.spawn(async move { serving.await.ok() });
            }
        });
        Ok(Self { base_url, handed, taken })
    }

    /// Messages taken so far.
    pub(super) fn handed(&self) -> Arc<AtomicU64> {
        self.handed.clone()
    }
}

async fn take(
    request: Request<hyper::body::Incoming>,
    handed: Arc<AtomicU64>,
    tell: mpsc::Sender<Taken>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == hyper::Method::GET {
        // A look at a number: it has no properties.
        return Ok(Response::new(Full::new("{}".into())));
    }
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let echo = body.get("biz_opaque_callback_data").and_then(Value::as_str).unwrap_or_default();
    let to = body.get("to").and_then(Value::as_str).unwrap_or_default();
    let nth = handed.fetch_add(1, Ordering::Relaxed);
    let wamid = format!("wamid.BENCH{nth:012}");
    let answer = format!(r#"{{"messaging_product":"whatsapp","messages":[{{"id":"{wamid}"}}]}}"#);
    // Nobody listens in scenes without statuses.
    let _untold = tell.try_send(Taken { wamid, echo: echo.to_owned(), to: to.to_owned() });
    Ok(Response::new(Full::new(answer.into())))
}
