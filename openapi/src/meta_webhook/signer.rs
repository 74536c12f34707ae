//! The secret that signed a webhook: the server's, or that of an account which the body names.
//!
//! Invariants: before the signature is verified the body is hashed, and searched for the accounts that it names, but not
//! parsed. At most [`SECRETS_MAX`] secrets of accounts are tried. Work on a big body is done off the async threads, and
//! what a stranger can ask for, the search for accounts' secrets, uses at most half of the processors.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;

use bytes::Bytes;
use kabar_core::cause::cause;
use kabar_core::domain::account::{Account, Secret};
use kabar_core::domain::phone::Phone;
use kabar_core::meta::named_numbers::read_named_targets;
use kabar_core::meta::signature::ClaimedSignature;
use kabar_core::meta::translate::ItemTarget;
use tokio::sync::Semaphore;

use super::shares::WebhookSigner;
use super::signed_body::SignedBody;
use crate::app::AppState;
use crate::http::access::invalid_signature;
use crate::rest::error::ApiError;

/// Secrets of accounts that are tried for one webhook (contract, section 28): each costs an HMAC over the whole body,
/// for any client.
const SECRETS_MAX: usize = 16;
/// Targets other than ids of numbers that are searched for in one webhook that the server's secret has not signed.
const SEARCHES_MAX: usize = 16;
/// Largest body that an async thread works on: a tenth of a millisecond for one HMAC.
const INLINE_BYTES: usize = 64 * 1024;
/// Largest body for which an async thread tries the secrets of accounts, up to [`SECRETS_MAX`] HMACs.
const INLINE_SEARCH_BYTES: usize = 4 * 1024;

/// Works on a body: at once on a small one, off the async threads on a big one.
pub(super) async fn work_on_body<T: Send + 'static>(
    body: &Bytes,
    work: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, ApiError> {
    if body.len() <= INLINE_BYTES {
        return Ok(work(body));
    }
    work_off_thread(body, work).await
}

async fn work_off_thread<T: Send + 'static>(
    body: &Bytes,
    work: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let body = body.clone();
    tokio::task::spawn_blocking(move || work(&body)).await.map_err(|error| {
        tracing::error!(error = cause(&error), "work on a webhook failed");
        ApiError::internal_error()
    })
}

/// Search for the secret that signed a body.
#[derive(Debug, Clone)]
pub(super) struct SignerSearch {
    app: Arc<AppState>,
    /// Searches for accounts' secrets off the async threads at a time.
    turns: Arc<Semaphore>,
}

impl SignerSearch {
    pub(super) fn new(app: Arc<AppState>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { app, turns: Arc::new(Semaphore::new((processors / 2).max(1))) }
    }

    /// Finds the secret that signed a body: the server's, or that of an account which the body names. Only these
    /// names are read of a body that the server's secret has not signed.
    ///
    /// # Errors
    /// `invalid_signature`.
    pub(super) async fn find_signer(&self, body: &SignedBody) -> Result<WebhookSigner, ApiError> {
        let (claimed, settings) = (body.webhook.claimed, self.app.settings.load_full());
        let verify = move |bytes: &[u8]| claimed.find_signer(bytes, &settings.whatsapp.app_secrets).is_some();
        if work_on_body(&body.bytes, verify).await? {
            return Ok(WebhookSigner::Server);
        }
        let app = self.app.clone();
        let search = move |bytes: &[u8]| find_account_signer(&app, claimed, bytes);
        let signer = if body.bytes.len() <= INLINE_SEARCH_BYTES {
            search(&body.bytes)
        } else {
            // The semaphore is never closed.
            let _turn = self.turns.acquire().await.ok();
            work_off_thread(&body.bytes, search).await?
        };
        signer.map(WebhookSigner::Account).ok_or_else(|| {
            self.app.metrics.webhook_unsigned.inc();
            invalid_signature()
        })
    }
}

fn find_account_signer(app: &AppState, claimed: ClaimedSignature, body: &[u8]) -> Option<Secret> {
    claimed.find_signer(body, &account_secrets(app, read_named_targets(body))).cloned()
}

/// Returns the secrets of these targets' accounts, each once, [`SECRETS_MAX`] at most: those of numbers first.
fn account_secrets(app: &AppState, targets: BTreeSet<ItemTarget>) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let mut add_secret = |account: &Account| {
        if let Some(secret) = &account.app_secret
            && secrets.len() < SECRETS_MAX
            && !secrets.contains(secret)
        {
            secrets.push(secret.clone());
        }
    };
    let (mut phones, mut wabas): (Vec<Phone>, Vec<Arc<str>>) = (Vec::new(), Vec::new());
    for target in targets {
        match target {
            // A number is looked up by its id.
            ItemTarget::Number(id) => {
                let found = app.directory.account_of_number(id.as_str());
                if let Some(slot) = found {
                    add_secret(&slot.current_account());
                }
            }
            // Other targets cost a look at every account: one for all of them.
            ItemTarget::Phone(_) | ItemTarget::Waba(_) if phones.len() + wabas.len() >= SEARCHES_MAX => {}
            ItemTarget::Phone(phone) => phones.push(phone),
            ItemTarget::Waba(id) => wabas.push(id),
        }
    }
    if phones.is_empty() && wabas.is_empty() {
        return secrets;
    }
    let is_named = |account: &Account| {
        let waba_id = account.profile.waba_id.as_deref();
        phones.contains(&account.phone) || wabas.iter().any(|id| waba_id == Some(&**id))
    };
    for slot in app.directory.accounts_that(is_named) {
        add_secret(&slot.current_account());
    }
    secrets
}
