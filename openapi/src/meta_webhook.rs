//! Requests from WhatsApp: the handshake, and webhooks.
//!
//! Invariants: a body is read only with a well-formed signature, and translated only after that was verified; a secret of one account authenticates
//! items of that account only; 200 is sent only once everything for the accounts here is durable. After 503 WhatsApp
//! sends the whole webhook again, which does no harm. Meta's format is parsed by `kabar_core::meta`.

mod forward;
pub(crate) mod handshake;
mod shares;
pub(crate) mod signed_body;
mod signer;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use kabar_actors::{AccountEntry, AccountError, AccountPlace};
use kabar_core::cause::cause;
use kabar_core::domain::account::Secret;
use kabar_core::domain::command::AccountCommand;
use kabar_core::ids::NodeId;
use kabar_core::meta::signature::ClaimedSignature;
use kabar_core::meta::translate::{AccountGroup, ItemTarget, SkipReason, SkippedItem, translate_webhook};
use kabar_core::store::NodePeer;
use poem_openapi::OpenApi;

use self::forward::hand_on;
use self::handshake::HandshakeChallenge;
use self::shares::{AccountShare, ClaimedGroup, ItemTaker, WebhookSigner, divide_groups, is_vouched_for};
use self::signed_body::{SignedBody, VerifiedBody};
use self::signer::{SignerSearch, work_on_body};
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
pub(crate) struct WhatsAppApi(Arc<AppState>, SignerSearch);

impl WhatsAppApi {
    pub(crate) fn new(app: &Arc<AppState>) -> Self {
        Self(app.clone(), SignerSearch::new(app.clone()))
    }
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
        let known = token.0.is_some_and(|token| {
            is_same_secret(self.0.settings.load().whatsapp.verify_token.as_ref(), &token.0)
        });
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
    /// Everything that WhatsApp tells, signed over the raw body (`X-Hub-Signature-256`). 200 means that all of it
    /// is durable; after 503 Meta sends it again. Repeating a webhook does no harm. Items for a number or a
    /// WhatsApp Business Account that is not connected are counted and skipped.
    #[oai(path = "/webhooks/whatsapp", method = "post", operation_id = "receiveWhatsAppWebhook")]
    async fn receive_webhook(
        &self,
        body: SignedBody,
    ) -> Result<DataResponse<super::v1::health::HealthBody>, OperationError<WebhookFails>> {
        let signer = self.1.find_signer(&body).await?;
        body.webhook.share.give_back();
        let SignedBody { bytes, webhook, meant } = body;
        self.ingest(&VerifiedBody { bytes, signature: webhook.claimed, meant }, &signer).await?;
        Ok(DataResponse(super::v1::health::HealthBody::ok()))
    }
}

/// Attempts to find the owners of a webhook's accounts while they move.
const NODES_MAX: usize = 3;

/// Counts of the items of a webhook, by outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IngestCounts {
    /// Items that were taken in.
    pub(crate) items: usize,
    /// Items that were left out.
    pub(crate) skipped: usize,
}

impl WhatsAppApi {
    /// Takes a webhook in on the word of the operator. It is signed here, so that it can be forwarded.
    pub(crate) async fn ingest_for_operator(&self, bytes: Bytes) -> Result<IngestCounts, ApiError> {
        // Without a secret of the server, which only tests lack, no node takes it.
        let secret = self.0.settings.load().whatsapp.app_secrets.first().cloned();
        let signature = ClaimedSignature::of_body(&secret.unwrap_or_else(|| Secret::new("")), &bytes);
        self.ingest(&VerifiedBody { bytes, signature, meant: None }, &WebhookSigner::Server).await
    }

    /// Takes in everything of a verified body that concerns connected accounts.
    async fn ingest(&self, body: &VerifiedBody, signer: &WebhookSigner) -> Result<IngestCounts, ApiError> {
        let now = self.0.clock.read_now();
        let read = work_on_body(&body.bytes, move |bytes| translate_webhook(bytes, now)).await?;
        let webhook = read.map_err(|malformed| {
            tracing::warn!(error = cause(&malformed), "webhook not understood");
            ApiError::new(ErrorCode::InvalidRequest, "the body must be a JSON object")
        })?;
        self.0.metrics.webhooks.inc();
        // A node that forwards a webhook has counted what it skipped.
        if body.meant.is_none() {
            self.report_skipped(&webhook.skipped);
        }
        let skipped = webhook.skipped.len();
        let mut taken = self.take_in(body, webhook.groups, signer).await;
        for _ in 1..NODES_MAX {
            let moved = taken.as_ref().is_err_and(ApiError::account_moved);
            // A forwarded webhook is retried by the node that forwarded it. Items taken in before do no harm.
            if !moved || body.meant.is_some() {
                break;
            }
            let read = work_on_body(&body.bytes, move |bytes| translate_webhook(bytes, now)).await?;
            let Ok(again) = read else { break };
            taken = self.take_in(body, again.groups, signer).await;
        }
        let IngestCounts { items, skipped: unclaimed } = taken?;
        Ok(IngestCounts { items, skipped: skipped + unclaimed })
    }

    /// Counts and logs items that cannot be taken in.
    fn report_skipped(&self, skipped: &[SkippedItem]) {
        for SkippedItem { target, field, reason } in skipped {
            self.0.metrics.note_skipped_items(reason.as_str(), field, 1);
            tracing::warn!(%reason, %field, place = shares::describe_target(target.as_ref()), "item skipped");
        }
    }

    /// Counts and logs the items of a group that no account takes.
    fn report_unclaimed(&self, group: &AccountGroup) {
        let reason = SkipReason::NotConnected;
        for field in group.items.iter().filter_map(shares::field_of) {
            self.0.metrics.note_skipped_items(reason.as_str(), field, 1);
        }
        let (place, items) = (shares::describe_target(Some(&group.target)), group.items.len());
        tracing::warn!(place, items, "items for no connected account");
    }

    fn accounts_of(&self, target: &ItemTarget) -> Vec<Arc<AccountEntry>> {
        match target {
            ItemTarget::Number(id) => self.0.directory.account_of_number(id.as_str()).into_iter().collect(),
            ItemTarget::Phone(phone) => self.0.directory.accounts_of_phone(phone),
            ItemTarget::Waba(id) => self.0.directory.accounts_of_waba(id),
        }
    }

    /// Finds the accounts that take the items of a target: those that the operator has not disconnected, and
    /// for which this secret vouches.
    fn find_takers(&self, target: &ItemTarget, signer: &WebhookSigner) -> Vec<ItemTaker> {
        let takers = self.accounts_of(target).into_iter();
        let takers = takers.map(|slot| ItemTaker { account: slot.current_account(), slot });
        takers.filter(|taker| is_vouched_for(&taker.account, signer)).collect()
    }

    /// Finds the accounts that take each group. `is_complete` tells when the directory knows enough; a number
    /// may just have been connected at another node, and a skipped item never comes again.
    async fn claim_groups(
        &self,
        groups: Vec<AccountGroup>,
        signer: &WebhookSigner,
        is_complete: impl Fn(&[ClaimedGroup]) -> bool,
    ) -> Result<Vec<ClaimedGroup>, ApiError> {
        let find = |group: &AccountGroup| self.find_takers(&group.target, signer);
        let claim = |group: AccountGroup| ClaimedGroup { takers: find(&group), group };
        let mut claimed: Vec<_> = groups.into_iter().map(claim).collect();
        shares::add_taught_takers(&mut claimed);
        if !is_complete(&claimed) {
            self.0.accounts.catch_up().await?;
            for one in &mut claimed {
                one.takers = find(&one.group);
            }
            shares::add_taught_takers(&mut claimed);
        }
        Ok(claimed)
    }

    /// Divides a webhook among the accounts that take it. Of a forwarded one only the meant accounts' shares
    /// are taken, and all of them: the node that forwarded it relies on that. Counts the items as well.
    async fn divide(
        &self,
        meant: Option<&str>,
        groups: Vec<AccountGroup>,
        signer: &WebhookSigner,
    ) -> Result<(Vec<AccountShare>, IngestCounts), ApiError> {
        let Some(meant) = meant else {
            let all_taken = |claimed: &[ClaimedGroup]| claimed.iter().all(|one| !one.takers.is_empty());
            let claimed = self.claim_groups(groups, signer, all_taken).await?;
            let mut counts = IngestCounts::default();
            for ClaimedGroup { takers, group } in &claimed {
                if takers.is_empty() {
                    self.report_unclaimed(group);
                    counts.skipped += group.items.len();
                } else {
                    counts.items += group.items.len();
                }
            }
            return Ok((divide_groups(claimed), counts));
        };
        let meant: Vec<&str> = meant.split(',').collect();
        let all_here = |claimed: &[ClaimedGroup]| meant.iter().all(|name| shares::has_taker(claimed, name));
        let claimed = self.claim_groups(groups, signer, all_here).await?;
        if !all_here(&claimed) {
            return Err(AccountError::Elsewhere.into());
        }
        let mut shares = divide_groups(claimed);
        shares.retain(|share| meant.contains(&share.slot.current_account().phone_number_id.as_str()));
        Ok((shares, IngestCounts::default()))
    }

    async fn take_in(
        &self,
        body: &VerifiedBody,
        groups: Vec<AccountGroup>,
        signer: &WebhookSigner,
    ) -> Result<IngestCounts, ApiError> {
        let (shares, counts) = self.divide(body.meant.as_deref(), groups, signer).await?;
        let commands = shares.into_iter().map(|share| self.ingest_share(share));
        let mut away: BTreeMap<NodeId, (NodePeer, Vec<AccountShare>)> = BTreeMap::new();
        for outcome in join_all(commands).await {
            match outcome? {
                ShareOutcome::Taken => {}
                ShareOutcome::Away(peer, share) if body.meant.is_none() => {
                    away.entry(peer.id).or_insert_with(|| (peer, Vec::new())).1.push(share);
                }
                ShareOutcome::Away(..) => return Err(AccountError::Elsewhere.into()),
            }
        }
        let passed = away.into_values().map(|(peer, shares)| self.pass_on(body, peer, shares));
        join_all(passed).await.into_iter().collect::<Result<(), ApiError>>()?;
        Ok(counts)
    }

    /// Forwards shares to the node that owns their accounts. Where it no longer does, looks up the new owner once.
    async fn pass_on(
        &self,
        body: &VerifiedBody,
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
        let AccountShare { slot, items } = share;
        if self.0.accounts.is_clustered()
            && let AccountPlace::There(peer) = self.0.accounts.find_owner(&slot).await?
        {
            return Ok(ShareOutcome::Away(peer, AccountShare { slot, items }));
        }
        self.0.metrics.webhook_items.inc_by(u64::try_from(items.len()).unwrap_or(u64::MAX));
        let taken = self.0.accounts.execute_command(&slot, AccountCommand::Ingest(items), None).await;
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
