//! `Idempotency-Key`: one key, one outcome (contract, section 3).
//!
//! Invariants: a response is recorded in the transaction of its write; only 2xx and the errors that an
//! operation itself decided are recorded; a repeated call gets the first call's response under its own
//! request id. Locks and records belong to the actors.

mod fingerprint;
mod recorded;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use kabar_actors::{AccountEntry, AccountError, KeyClaim, KeyPermit, KeyedCall, RecordedResponse};
use kabar_core::domain::account::Account;
use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::ids::ContactId;
use poem::http::StatusCode;
use poem::http::header::{HeaderName, HeaderValue};
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) use self::recorded::Secrecy;
use self::recorded::{recorded_refusal, recorded_response, recorded_success, replay_recorded, shown_contact};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope;
use crate::rest::envelope::{OpenEnvelope, SingleOf};
use crate::rest::error::{ApiError, ErrorCode};

pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_CHARS: std::ops::RangeInclusive<usize> = 1..=255;

/// A call that may repeat an earlier one.
#[derive(Debug)]
pub(crate) struct IdempotentCall {
    key: Option<Box<str>>,
    method: String,
    path: String,
    /// The contact that the response shows, of a call outside any account.
    shown: OnceLock<ContactId>,
}

impl IdempotentCall {
    /// Notes the contact that the response shows, so that the recorded response goes when the contact is erased.
    pub(crate) fn shows_contact(&self, id: ContactId) {
        if id != ContactId::NONE {
            // The first one counts; a response shows one.
            let _known = self.shown.set(id);
        }
    }
}

impl<'a> FromRequest<'a> for IdempotentCall {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        let mut keys = request.headers().get_all(IDEMPOTENCY_KEY).into_iter();
        let key = keys.next().map(read_key).transpose()?;
        if keys.next().is_some() {
            return Err(ApiError::invalid_field(IDEMPOTENCY_KEY, "given once").into());
        }
        let path = request.original_uri().path().to_owned();
        Ok(Self { key, method: request.method().as_str().to_owned(), path, shown: OnceLock::new() })
    }
}

fn read_key(value: &HeaderValue) -> Result<Box<str>, ApiError> {
    let text = value.to_str().ok().filter(|text| {
        KEY_CHARS.contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    });
    let refused = || ApiError::invalid_field(IDEMPOTENCY_KEY, "1 to 255 printable ASCII characters");
    text.map(Into::into).ok_or_else(refused)
}

/// Renders the outcome of a command as the body of its response.
pub(crate) type RenderReply = fn(&Account, &CommandReply) -> Result<OpenEnvelope, ApiError>;

/// Carries out a command, at most once per key. `command` is the request as the operation read it; an error
/// in it is a response of the operation, and recorded as such.
pub(crate) async fn carry_out_once(
    app: &AppState,
    tenant: &TenantCaller,
    call: &IdempotentCall,
    body: &Value,
    command: Result<(Arc<AccountEntry>, AccountCommand), ApiError>,
    form: ReplyFormat,
) -> Result<Response, ApiError> {
    match begin_call(app, tenant, call, body).await? {
        CallDecision::Run(None) => {
            let (slot, command) = command?;
            let outcome = app.accounts.execute_command(&slot, command, None).await?;
            Ok(form.answer(&slot.current_account(), &outcome))
        }
        CallDecision::Run(Some(permit)) => Ok(mark_replayed(first(app, permit, command, form).await?, false)),
        CallDecision::Told(response) => {
            // A confirmed outcome must be visible to the next request of any client.
            if let Ok((slot, _)) = &command {
                app.accounts.wait_recovered(slot).await?;
            }
            Ok(response)
        }
    }
}

/// Carries out a command that a call to WhatsApp goes before, at most once per key. The work runs to its end even if the
/// caller hangs up; it is given the claim under which its command is recorded. An error of the client's or of WhatsApp's
/// that is final is recorded like the answer.
pub(crate) async fn carry_out_work<F, W>(
    app: &AppState,
    tenant: &TenantCaller,
    call: &IdempotentCall,
    body: &Value,
    work: Result<(Arc<AccountEntry>, F), ApiError>,
    form: ReplyFormat,
) -> Result<Response, ApiError>
where
    F: FnOnce(Option<KeyClaim>) -> W,
    W: Future<Output = Result<Result<CommandReply, CommandRefusal>, ApiError>> + Send + 'static,
{
    let permit = match begin_call(app, tenant, call, body).await? {
        CallDecision::Run(permit) => permit,
        CallDecision::Told(response) => {
            // A confirmed outcome must be visible to the next request of any client.
            if let Ok((slot, _)) = &work {
                app.accounts.wait_recovered(slot).await?;
            }
            return Ok(response);
        }
    };
    let ((slot, work), permit) = match (work, permit) {
        (Ok((slot, work)), None) => {
            let outcome = app.accounts.run_to_end(work(None)).await?;
            return Ok(form.answer(&slot.current_account(), &outcome));
        }
        (Err(refusal), None) => return Err(refusal),
        (Err(refusal), Some(permit)) => {
            return Ok(mark_replayed(record_refusal(permit, refusal).await?, false));
        }
        (Ok(work), Some(permit)) => (work, permit),
    };
    let account = slot.current_account();
    let shown = account.clone();
    let claim = permit.claim_key(Box::new(move |outcome| form.record(&shown, outcome)));
    let response = match app.accounts.run_to_end(work(Some(claim))).await {
        Ok(outcome) => {
            permit.end().await;
            form.answer(&account, &outcome)
        }
        Err(refusal) => record_refusal(permit, refusal).await?,
    };
    Ok(mark_replayed(response, false))
}

/// Carries out a write outside any account, at most once per key. `work` runs to its end even if the caller
/// hangs up. When it is given a claim it records its response in its own transaction.
pub(crate) async fn once_of<T, W>(
    app: &AppState,
    tenant: &TenantCaller,
    call: &IdempotentCall,
    body: &Value,
    work: impl FnOnce(Option<KeyClaim<T>>) -> Result<W, ApiError>,
    form: ResponseFormat<T>,
) -> Result<Response, ApiError>
where
    T: Send + 'static,
    W: Future<Output = Result<Result<T, ApiError>, AccountError>> + Send + 'static,
{
    let permit = match begin_call(app, tenant, call, body).await? {
        CallDecision::Run(permit) => permit,
        CallDecision::Told(response) => return Ok(response),
    };
    let Some(permit) = permit else {
        return Ok(form.answer(&app.accounts.run_to_end(work(None)?).await??));
    };
    let done = match work(Some(permit.claim_key(Box::new(move |made: &T| form.record(made))))) {
        Ok(work) => app.accounts.run_to_end(work).await,
        Err(refusal) => Ok(Err(refusal)),
    };
    let response = match done {
        Ok(Ok(made)) => {
            permit.end().await;
            form.answer(&made)
        }
        Ok(Err(refusal)) => record_refusal(permit, refusal).await?,
        Err(why) => {
            permit.end().await;
            return Err(why.into());
        }
    };
    Ok(mark_replayed(response, false))
}

/// Decision about a call.
enum CallDecision {
    /// Carry it out, under its key if it has one.
    Run(Option<KeyPermit>),
    /// Return the recorded response of the first call.
    Told(Response),
}

async fn begin_call(
    app: &AppState,
    tenant: &TenantCaller,
    call: &IdempotentCall,
    body: &Value,
) -> Result<CallDecision, ApiError> {
    let Some(key) = &call.key else { return Ok(CallDecision::Run(None)) };
    let fingerprint = fingerprint::compute_fingerprint(&call.method, &call.path, body);
    match app.idempotency.begin_call(tenant.key.organisation_id, key, fingerprint).await? {
        KeyedCall::First(permit) => Ok(CallDecision::Run(Some(permit))),
        KeyedCall::Replay(recorded) => {
            // The call may have waited for the first one.
            app.directory.check_access(tenant)?;
            Ok(CallDecision::Told(mark_replayed(replay_recorded(&recorded)?, true)))
        }
        KeyedCall::Reused => Err(key_reused()),
        KeyedCall::InProgress => Err(in_progress()),
    }
}

/// Does the same for work without a transaction of its own: `make` does it and returns the result. The
/// response is recorded afterwards; a crash between the two makes a repeated call run again.
pub(crate) async fn once_beside<T: ToJSON>(
    app: &AppState,
    tenant: &TenantCaller,
    call: &IdempotentCall,
    body: &Value,
    status: StatusCode,
    make: impl Future<Output = Result<T, ApiError>>,
) -> Result<Response, ApiError> {
    let permit = match begin_call(app, tenant, call, body).await? {
        CallDecision::Run(Some(permit)) => permit,
        CallDecision::Run(None) => {
            return Ok(envelope::open_response(status, OpenEnvelope::from_value(&make.await?.to_json())));
        }
        CallDecision::Told(response) => return Ok(response),
    };
    match make.await {
        Ok(made) => {
            let open = OpenEnvelope::from_value(&made.to_json())?;
            let contact_id = call.shown.get().copied();
            permit.record_response(recorded_success(status, &open, Secrecy::Open, contact_id)).await?;
            Ok(mark_replayed(envelope::open_response(status, Ok(open)), false))
        }
        Err(refusal) => Ok(mark_replayed(record_refusal(permit, refusal).await?, false)),
    }
}

/// Returns the digest that represents a body other than JSON.
pub(crate) fn digest_of(body: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(body).into();
    crate::rest::text::hex_of(&digest)
}

fn key_reused() -> ApiError {
    let message = "this Idempotency-Key belongs to another request; use a new one for this request";
    ApiError::new(ErrorCode::IdempotencyKeyReuse, message).with_param(IDEMPOTENCY_KEY)
}

fn in_progress() -> ApiError {
    let message = "the first request of this Idempotency-Key is still running; try again later";
    ApiError::new(ErrorCode::IdempotencyInProgress, message).with_param(IDEMPOTENCY_KEY)
}

async fn first(
    app: &AppState,
    permit: KeyPermit,
    command: Result<(Arc<AccountEntry>, AccountCommand), ApiError>,
    form: ReplyFormat,
) -> Result<Response, ApiError> {
    match command {
        Ok((slot, command)) => {
            let account = slot.current_account();
            let shown = account.clone();
            let claim = permit.claim_key(Box::new(move |outcome| form.record(&shown, outcome)));
            // Held until the outcome is known, so that a second call waits for this one.
            let outcome = app.accounts.execute_command(&slot, command, Some(claim)).await;
            permit.end().await;
            Ok(form.answer(&account, &outcome?))
        }
        Err(refusal) => record_refusal(permit, refusal).await,
    }
}

/// Records an error that the operation decided without a write.
async fn record_refusal(permit: KeyPermit, refusal: ApiError) -> Result<Response, ApiError> {
    if refusal.code().status().is_client_error() {
        permit.record_response(recorded_refusal(&refusal)).await?;
    } else {
        permit.end().await;
    }
    Ok(refusal.into_response())
}

/// Response format of an operation outside any account.
pub(crate) struct ResponseFormat<T> {
    /// Status of success.
    pub(crate) status: StatusCode,
    /// Secrecy of the body of success.
    pub(crate) secrecy: Secrecy,
    /// Renders the body of success.
    pub(crate) show: fn(&T) -> Result<OpenEnvelope, ApiError>,
}

impl<T> Clone for ResponseFormat<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ResponseFormat<T> {}

impl<T> ResponseFormat<T> {
    fn answer(self, made: &T) -> Response {
        envelope::open_response(self.status, (self.show)(made))
    }

    fn record(self, made: &T) -> RecordedResponse {
        recorded_response(self.status, self.secrecy, (self.show)(made), None)
    }
}

/// Response format of an operation on an account.
#[derive(Clone, Copy)]
pub(crate) struct ReplyFormat {
    /// Status of success.
    pub(crate) status: StatusCode,
    /// Renders the body of success.
    pub(crate) show: RenderReply,
    /// Words a refusal.
    pub(crate) refuse: fn(CommandRefusal) -> ApiError,
}

impl ReplyFormat {
    fn answer(self, account: &Account, outcome: &Result<CommandReply, CommandRefusal>) -> Response {
        match outcome {
            Ok(reply) => envelope::open_response(self.status, (self.show)(account, reply)),
            Err(refusal) => (self.refuse)(*refusal).into_response(),
        }
    }

    fn record(self, account: &Account, outcome: &Result<CommandReply, CommandRefusal>) -> RecordedResponse {
        let shown = match outcome {
            Ok(reply) => (self.show)(account, reply),
            Err(refusal) => Err((self.refuse)(*refusal)),
        };
        recorded_response(self.status, Secrecy::Open, shown, shown_contact(outcome))
    }
}

fn mark_replayed(mut response: Response, replayed: bool) -> Response {
    let value = HeaderValue::from_static(if replayed { "true" } else { "false" });
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, value);
    response
}

/// Response of an operation that takes an `Idempotency-Key`.
pub(crate) struct IdempotentResponse<T, const STATUS: u16>(Response, PhantomData<fn() -> T>);

impl<T, const STATUS: u16> From<Response> for IdempotentResponse<T, STATUS> {
    fn from(response: Response) -> Self {
        Self(response, PhantomData)
    }
}

impl<T, const STATUS: u16> IntoResponse for IdempotentResponse<T, STATUS> {
    fn into_response(self) -> Response {
        self.0
    }
}

impl<T: Type, const STATUS: u16> ApiResponse for IdempotentResponse<T, STATUS> {
    fn meta() -> MetaResponses {
        let mut done = envelope::single_response::<T>(STATUS, "Done, and durable.");
        let words = vec!["true".into(), "false".into()];
        let schema = MetaSchema { enum_items: words, ..MetaSchema::new("string") };
        let says = "With an `Idempotency-Key`: whether this is the answer of an earlier request of that key.";
        done.headers.push(MetaHeader {
            name: "Idempotent-Replayed".to_owned(),
            description: Some(says.to_owned()),
            required: false,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(schema)),
        });
        envelope::collect_responses([done])
    }

    fn register(registry: &mut Registry) {
        SingleOf::<T>::register(registry);
    }
}
