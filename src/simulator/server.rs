//! The HTTP side of the simulator.
//!
//! Invariant: every response is Meta's JSON, also for unknown calls; a body has a limit; a call that was read
//! to its end is handled, even if its caller hangs up. `call` handles it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use poem::http::{Method, StatusCode, header};
use poem::listener::TcpAcceptor;
use poem::{Body, Endpoint, EndpointExt, Request, Response, Route, Server, get, post};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::call::{self, CallAnswer};
use super::state::SimulatorState;
use super::template_call::{self, ListQuery};

const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Approximate length of a response.
const PROMISED_BYTES: usize = 180;
/// Longest time that calls may go on after the stop.
const GRACE: Duration = Duration::from_secs(1);

/// Serves until stopped.
pub(super) async fn serve(
    acceptor: TcpAcceptor,
    world: Arc<SimulatorState>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let profile = ProfileEndpoint { world: world.clone(), stop: stop.clone() };
    let templates = TemplatesEndpoint { world: world.clone(), tasks: tasks.clone(), stop: stop.clone() };
    let messages = MessagesEndpoint { world, tasks, stop: stop.clone() };
    let routes = Route::new()
        .at("/:version/:phone_number_id", get(profile))
        .at("/:version/:phone_number_id/messages", post(messages))
        .at("/:version/:phone_number_id/message_templates", get(templates.clone()).post(templates))
        .catch_all_error(|error: poem::Error| async move { unknown_call(error.status()) });
    let server = Server::new_with_acceptor(acceptor).name("simulator");
    if let Err(error) = server.run_with_graceful_shutdown(routes, stop.cancelled_owned(), Some(GRACE)).await {
        tracing::error!(%error, "the simulated WhatsApp stopped");
    }
}

struct MessagesEndpoint {
    world: Arc<SimulatorState>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Endpoint for MessagesEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let (_version, id): (String, String) = request.path_params()?;
        let token = read_token(&request);
        let body = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await?;
        let (world, stop) = (self.world.clone(), self.stop.clone());
        // Held and late calls end with the simulator.
        let judged = self.tasks.spawn(async move {
            stop.run_until_cancelled(call::answer_call(&world, &id, &token, &body)).await
        });
        let answer = judged.await.ok().flatten().unwrap_or(CallAnswer::BrokenOff);
        if !matches!(answer, CallAnswer::BrokenOff) {
            self.world.update_counts(|counts| counts.answered += 1);
        }
        Ok(respond(answer))
    }
}

/// Answers calls about the templates of a business account.
#[derive(Clone)]
struct TemplatesEndpoint {
    world: Arc<SimulatorState>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Endpoint for TemplatesEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let (_version, id): (String, String) = request.path_params()?;
        let token = read_token(&request);
        let query = ListQuery::parse(request.uri().query().unwrap_or_default());
        let submits = request.method() == Method::POST;
        let body = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await?;
        let (world, stop) = (self.world.clone(), self.stop.clone());
        // A submission that was read is taken, even if its caller hangs up.
        let judged = self.tasks.spawn(async move {
            let answer = async {
                if submits {
                    template_call::answer_submission(&world, &id, &token, &body).await
                } else {
                    template_call::answer_list(&world, &id, &token, query).await
                }
            };
            stop.run_until_cancelled(answer).await
        });
        Ok(respond(judged.await.ok().flatten().unwrap_or(CallAnswer::BrokenOff)))
    }
}

/// Answers looks at a number's own properties.
struct ProfileEndpoint {
    world: Arc<SimulatorState>,
    stop: CancellationToken,
}

impl Endpoint for ProfileEndpoint {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let (_version, id): (String, String) = request.path_params()?;
        let token = read_token(&request);
        let answer = call::answer_profile(&self.world, &id, &token);
        let answer = self.stop.run_until_cancelled(answer).await.unwrap_or(CallAnswer::BrokenOff);
        Ok(respond(answer))
    }
}

fn read_token(request: &Request) -> String {
    let authorization = request.header(header::AUTHORIZATION).unwrap_or_default();
    authorization.strip_prefix("Bearer ").unwrap_or_default().trim().to_owned()
}

fn respond(answer: CallAnswer) -> Response {
    match answer {
        CallAnswer::Told(status, body) => told(StatusCode::from_u16(status).unwrap_or_default(), &body),
        CallAnswer::Bare(status) => {
            Response::builder().status(StatusCode::from_u16(status).unwrap_or_default()).finish()
        }
        CallAnswer::BrokenOff => broken_off(),
    }
}

fn told(status: StatusCode, body: &Value) -> Response {
    Response::builder().status(status).content_type("application/json").body(body.to_string())
}

fn unknown_call(status: StatusCode) -> Response {
    let error =
        json!({"error": {"message": "Unknown path components", "type": "OAuthException", "code": 2500}});
    told(status, &error)
}

/// Builds a response that announces more bytes than it sends, upon which the connection is cut. Without a
/// length, the error at the end of a body is swallowed on the way, and the response looks complete.
fn broken_off() -> Response {
    Response::builder()
        .content_type("application/json")
        .header(header::CONTENT_LENGTH, PROMISED_BYTES)
        .body(Body::from_async_read(BreaksOff))
}

/// A body that ends in an error.
struct BreaksOff;

impl AsyncRead for BreaksOff {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}
