//! A receiver of webhooks: takes nothing that is not signed, and hands on what was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use kabar_core::domain::account::Secret;
use kabar_core::domain::inbound::InboundItem;
use kabar_core::domain::time::Timestamp;
use kabar_core::meta::signature::{self, ClaimedSignature};
use kabar_core::meta::translate::translate_webhook;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::{Endpoint, EndpointExt, Request, Route, Server};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) struct Receiver {
    pub(super) url: String,
    pub(super) items: mpsc::Receiver<InboundItem>,
    refusals: Arc<Refusals>,
}

#[derive(Default)]
struct Refusals {
    left: AtomicU32,
    status: AtomicU16,
}

struct WebhookSink {
    secret: Secret,
    items: mpsc::Sender<InboundItem>,
    refusals: Arc<Refusals>,
}

impl Receiver {
    pub(super) async fn start(secret: Secret, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/whatsapp", listener.local_addr().unwrap());
        let (sender, items) = mpsc::channel(10_000);
        let refusals = Arc::new(Refusals::default());
        let webhooks = WebhookSink { secret, items: sender, refusals: refusals.clone() };
        let routes = Route::new().at("/webhooks/whatsapp", webhooks.boxed());
        let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener).unwrap());
        tasks.spawn(async move {
            let grace = Some(Duration::from_millis(100));
            server.run_with_graceful_shutdown(routes, stop.cancelled_owned(), grace).await.unwrap();
        });
        Self { url, items, refusals }
    }

    /// Answers the next posts with this status.
    pub(super) fn refuse(&self, posts: u32, status: u16) {
        self.refusals.status.store(status, Ordering::SeqCst);
        self.refusals.left.store(posts, Ordering::SeqCst);
    }
}

impl Endpoint for WebhookSink {
    type Output = StatusCode;

    async fn call(&self, mut request: Request) -> poem::Result<StatusCode> {
        let body = request.take_body().into_bytes_limit(3_000_000).await?;
        let claimed = request.header(signature::HEADER).and_then(ClaimedSignature::parse_header);
        if claimed.and_then(|claimed| claimed.find_signer(&body, [&self.secret])).is_none() {
            return Ok(StatusCode::UNAUTHORIZED);
        }
        let left = self.refusals.left.load(Ordering::SeqCst);
        if left > 0 {
            self.refusals.left.store(left - 1, Ordering::SeqCst);
            return Ok(StatusCode::from_u16(self.refusals.status.load(Ordering::SeqCst)).unwrap());
        }
        let webhook = translate_webhook(&body, Timestamp::from_seconds(4_000_000_000)).unwrap();
        assert!(webhook.skipped.is_empty(), "{:?}", webhook.skipped);
        for item in webhook.groups.into_iter().flat_map(|group| group.items) {
            // The test may have seen enough.
            let _taken = self.items.send(item).await;
        }
        Ok(StatusCode::OK)
    }
}
