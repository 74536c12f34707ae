//! Requests from WhatsApp: the handshake, and webhooks.
//!
//! Invariants: a body is translated only after its signature was verified; a secret of one account authenticates
//! items of that account only; 200 is sent only once everything for the accounts here is durable. After 503 WhatsApp
//! sends the whole webhook again, which does no harm. Meta's format is parsed by `kabar_core::meta`.

mod forward;
pub(crate) mod handshake;
pub(crate) mod signed_body;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use kabar_actors::{AccountEntry, AccountError, AccountPlace};
use kabar_core::cause::cause;
use kabar_core::domain::account::{AccountStatus, PhoneNumberId, Secret};
use kabar_core::domain::command::AccountCommand;
use kabar_core::ids::NodeId;
use kabar_core::meta::named_numbers::read_named_numbers;
use kabar_core::meta::signature;
use kabar_core::meta::translate::{AccountGroup, InboundWebhook, translate_webhook};
use kabar_core::store::NodePeer;
use poem_openapi::OpenApi;

use self::forward::hand_on;
use self::handshake::HandshakeChallenge;
use self::signed_body::SignedBody;
use crate::app::AppState;
use crate::http::access::is_shown;
use crate::rest::envelope::DataResponse;
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::params::{OpaqueText, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of the handshake.
    HandshakeFails = [InvalidFieldValue, InvalidVerifyToken];
    /// Error codes of a webhook.
    WebhookFails = [InvalidRequest, InvalidSignature, PayloadTooLarge, StorageUnavailable, Overloaded];
}

/// Operations that WhatsApp calls.
#[derive(Debug, Clone)]
pub(crate) struct WhatsAppApi(pub(crate) Arc<AppState>);

/// Items of a webhook for one account.
struct AccountShare {
    slot: Arc<AccountEntry>,
    group: AccountGroup,
}

/// Outcome of a share.
enum ShareOutcome {
    /// The items are durable.
    Taken,
    /// Another node owns the account.
    Away(NodePeer, AccountShare),
}

#[OpenApi(tag = "ApiTag::WhatsApp")]
impl WhatsAppApi {
    /// Prove that this is your server
    ///
    /// Meta's handshake: answers the bare challenge when the token is the configured one.
    #[oai(path = "/webhooks/whatsapp", method = "get", operation_id = "verifyWhatsAppWebhook")]
    #[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
    async fn verify_handshake(
        &self,
        /// Always `subscribe`.
        #[oai(name = "hub.mode")]
        mode: QueryParam<OpaqueText>,
        /// The configured token.
        #[oai(name = "hub.verify_token")]
        token: QueryParam<OpaqueText>,
        /// Text to send back.
        #[oai(name = "hub.challenge")]
        challenge: QueryParam<OpaqueText>,
    ) -> Result<HandshakeChallenge, OperationError<HandshakeFails>> {
        let subscribes = mode.0.is_some_and(|mode| mode.0 == "subscribe");
        let known =
            token.0.is_some_and(|token| is_same_secret(self.0.whatsapp.verify_token.as_ref(), &token.0));
        match challenge.0 {
            Some(challenge) if subscribes && known => Ok(HandshakeChallenge(challenge.0)),
            Some(_) | None => {
                let message = "hub.mode must be subscribe, and hub.verify_token the configured token";
                Err(ApiError::new(ErrorCode::InvalidVerifyToken, message).into())
            }
        }
    }

    /// Receive events from WhatsApp
    ///
    /// Messages and statuses, signed over the raw body (`X-Hub-Signature-256`). 200 means that all of it is
    /// durable; after 503 Meta sends it again. Repeating a webhook does no harm. Items for a number that is
    /// not connected are counted and skipped.
    #[oai(path = "/webhooks/whatsapp", method = "post", operation_id = "receiveWhatsAppWebhook")]
    async fn receive_webhook(
        &self,
        body: SignedBody,
    ) -> Result<DataResponse<super::v1::health::HealthBody>, OperationError<WebhookFails>> {
        let signer = self.find_signer(&body)?;
        let read = translate_webhook(&body.bytes, self.0.clock.read_now());
        let webhook = read.map_err(|malformed| {
            tracing::warn!(error = cause(&malformed), "webhook not understood");
            ApiError::new(ErrorCode::InvalidRequest, "the body must be a JSON object")
        })?;
        self.0.metrics.webhooks.inc();
        self.report_skipped(&webhook);
        let mut taken = self.take_in(&body, webhook.groups, &signer).await;
        for _ in 1..NODES_MAX {
            let moved = taken.as_ref().is_err_and(ApiError::account_moved);
            // A forwarded webhook is retried by the node that forwarded it. Items taken in before do no harm.
            if !moved || body.meant.is_some() {
                break;
            }
            let Ok(again) = translate_webhook(&body.bytes, self.0.clock.read_now()) else { break };
            taken = self.take_in(&body, again.groups, &signer).await;
        }
        taken?;
        Ok(DataResponse(super::v1::health::HealthBody::ok()))
    }
}

/// Attempts to find the owners of a webhook's accounts while they move.
const NODES_MAX: usize = 3;

/// Secrets of accounts that are tried for one webhook: each costs an HMAC over the whole body, for any client.
const SECRETS_MAX: usize = 16;

impl WhatsAppApi {
    /// Finds the secret that signed a body: the server's, or that of an account which the body names. Only the
    /// numbers are read of a body that the server's secret has not signed.
    fn find_signer(&self, body: &SignedBody) -> Result<Secret, ApiError> {
        let signature = body.signature.as_deref();
        let server = signature::verify_body(signature, &body.bytes, &self.0.whatsapp.app_secret);
        let signer = server.cloned().or_else(|| {
            let own = self.account_secrets(&read_named_numbers(&body.bytes));
            signature::verify_body(signature, &body.bytes, &own).cloned()
        });
        signer.ok_or_else(|| {
            self.0.metrics.webhook_unsigned.inc();
            let message =
                "X-Hub-Signature-256 must be sha256= and the HMAC of the raw body by the app secret";
            ApiError::new(ErrorCode::InvalidSignature, message)
        })
    }

    /// Returns the secrets of these numbers' accounts, each once, [`SECRETS_MAX`] at most.
    fn account_secrets(&self, numbers: &BTreeSet<PhoneNumberId>) -> Vec<Secret> {
        let mut secrets = Vec::new();
        let accounts =
            numbers.iter().filter_map(|number| self.0.directory.account_of_number(number.as_str()));
        for secret in accounts.filter_map(|slot| slot.current_account().app_secret.clone()) {
            if secrets.len() < SECRETS_MAX && !secrets.contains(&secret) {
                secrets.push(secret);
            }
        }
        secrets
    }

    /// Counts and logs items that no account takes.
    fn report_skipped(&self, webhook: &InboundWebhook) {
        for skipped in &webhook.skipped {
            self.0.metrics.webhook_skipped.inc();
            tracing::warn!(reason = %skipped.reason, phone_number_id = ?skipped.phone_number_id, "item skipped");
        }
        for error in &webhook.account_errors {
            self.0.metrics.account_errors.inc();
            let (code, provider_code) = (&error.error.code, error.error.provider_code);
            tracing::warn!(phone_number_id = %error.phone_number_id, %code, provider_code, "WhatsApp reports an error");
        }
    }

    /// Finds the account of this number. `None` when the operator disconnected it, or when this secret does
    /// not authenticate its items.
    fn find_taker(&self, number: &str, signer: &Secret) -> Option<Arc<AccountEntry>> {
        let slot = self.0.directory.account_of_number(number)?;
        let account = slot.current_account();
        let vouched = self.0.whatsapp.app_secret.as_ref() == Some(signer)
            || account.app_secret.as_ref() == Some(signer);
        (vouched && account.status != AccountStatus::Disconnected).then_some(slot)
    }

    async fn take_in(
        &self,
        body: &SignedBody,
        groups: Vec<AccountGroup>,
        signer: &Secret,
    ) -> Result<(), ApiError> {
        let meant: Option<Vec<&str>> = body.meant.as_deref().map(|names| names.split(',').collect());
        let is_meant = |number: &str| meant.as_ref().is_none_or(|meant| meant.contains(&number));
        let groups = groups.into_iter().filter(|group| is_meant(group.phone_number_id.as_str()));
        let find = |group: &AccountGroup| self.find_taker(group.phone_number_id.as_str(), signer);
        let mut groups: Vec<_> = groups.map(|group| (find(&group), group)).collect();
        if groups.iter().any(|(slot, _)| slot.is_none()) {
            // The number may just have been connected at another node; a skipped item never comes again.
            self.0.accounts.catch_up().await?;
            for (slot, group) in groups.iter_mut().filter(|(slot, _)| slot.is_none()) {
                *slot = find(group);
            }
        }
        let commands = groups.into_iter().filter_map(|(slot, group)| {
            let Some(slot) = slot else {
                let number = group.phone_number_id.as_str();
                let items = u64::try_from(group.items.len()).unwrap_or(u64::MAX);
                self.0.metrics.webhook_skipped.inc_by(items);
                tracing::warn!(phone_number_id = %number, items, "items for a number not connected");
                return None;
            };
            Some(self.ingest_share(AccountShare { slot, group }))
        });
        let mut away: BTreeMap<NodeId, (NodePeer, Vec<AccountShare>)> = BTreeMap::new();
        for outcome in join_all(commands).await {
            match outcome? {
                ShareOutcome::Taken => {}
                ShareOutcome::Away(peer, share) if meant.is_none() => {
                    away.entry(peer.id).or_insert_with(|| (peer, Vec::new())).1.push(share);
                }
                ShareOutcome::Away(..) => return Err(AccountError::Elsewhere.into()),
            }
        }
        let passed = away.into_values().map(|(peer, shares)| self.pass_on(body, peer, shares));
        join_all(passed).await.into_iter().collect()
    }

    /// Forwards shares to the node that owns their accounts. Where it no longer does, looks up the new owner once.
    async fn pass_on(
        &self,
        body: &SignedBody,
        peer: NodePeer,
        shares: Vec<AccountShare>,
    ) -> Result<(), ApiError> {
        if hand_on(&self.0, body, &peer, shares.iter().map(|share| &share.slot)).await {
            return Ok(());
        }
        for share in shares {
            let taken = match self.ingest_share(share).await? {
                ShareOutcome::Taken => true,
                ShareOutcome::Away(next, share) => {
                    next != peer && hand_on(&self.0, body, &next, std::iter::once(&share.slot)).await
                }
            };
            if !taken {
                self.0.metrics.forward_failures.inc();
                return Err(AccountError::Elsewhere.into());
            }
        }
        Ok(())
    }

    /// Ingests the items of a share, or returns the node that owns its account.
    async fn ingest_share(&self, share: AccountShare) -> Result<ShareOutcome, ApiError> {
        let AccountShare { slot, group } = share;
        if self.0.accounts.is_clustered()
            && let AccountPlace::There(peer) = self.0.accounts.find_owner(&slot).await?
        {
            return Ok(ShareOutcome::Away(peer, AccountShare { slot, group }));
        }
        self.0.metrics.webhook_items.inc_by(u64::try_from(group.items.len()).unwrap_or(u64::MAX));
        let taken = self.0.accounts.execute_command(&slot, AccountCommand::Ingest(group.items), None).await;
        // Either error is a 503, so that WhatsApp tries again; a crash too.
        taken.map_err(|unavailable| match ApiError::from(unavailable) {
            told if told.retry_after_s().is_some() => told,
            _ => ApiError::new(ErrorCode::StorageUnavailable, "interrupted; send it again"),
        })??;
        Ok(ShareOutcome::Taken)
    }
}

/// Compares a secret with the expected one; an unset secret matches nothing.
fn is_same_secret(expected: Option<&Secret>, shown: &str) -> bool {
    expected.is_some_and(|expected| is_shown(expected, shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_token_is_nobodys() {
        let token = Secret::new("t0ken");
        assert!(is_same_secret(Some(&token), "t0ken"));
        assert!(!is_same_secret(Some(&token), "t0keN") && !is_same_secret(Some(&token), ""));
        assert!(!is_same_secret(Some(&Secret::new("")), "") && !is_same_secret(None, ""));
    }
}
