//! The operator's way to have webhooks read again.
//!
//! Invariant: what is read a second time changes nothing and makes no second event. The operator's token stands for
//! WhatsApp's signature, for every account.

use std::sync::Arc;

use kabar_actors::{AccountError, audit_entry};
use kabar_core::cause::cause;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::audit::{AuditAction, AuditTarget, AuditTargetKind};
use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::stored_item::ItemPosition;
use kabar_core::meta::stored_webhook::{RereadItems, reread_items};
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::meta_webhook::WhatsAppApi;
use crate::meta_webhook::signed_body::ReplayedBody;
use crate::rest::body_fields::FieldError;
use crate::rest::envelope::DataResponse;
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::params::{OpaqueText, Path, QueryParam};
use crate::rest::tags::ApiTag;
use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of what became of a webhook.
    IngestNoun = "ingest";
}

code_list! {
    /// Error codes of reading a webhook again.
    IngestFails = [InvalidRequest, MissingRequiredField, PayloadTooLarge, StorageUnavailable, Overloaded];
    /// Error codes of reading stored items again.
    StoredIngestFails = [InvalidFieldValue, InvalidCursor, ResourceNotFound, StorageUnavailable, Overloaded];
}

/// Outcome of a webhook.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Ingest", example)]
pub(crate) struct IngestBody {
    /// Always `ingest`.
    object: TextValue<IngestNoun>,
    /// Items that were read and belong to a connected number, whether they were new or not.
    items: u64,
    /// Items that were left out: unreadable ones, and those for no connected number.
    skipped: u64,
    /// Of stored items: where the next call goes on; null when all are read.
    next_cursor: Option<String>,
}

impl IngestBody {
    /// Builds the body of these counts.
    pub(crate) fn from_counts(items: usize, skipped: usize) -> Self {
        let count = |items| u64::try_from(items).unwrap_or(u64::MAX);
        let next_cursor = None;
        Self { object: TextValue(IngestNoun), items: count(items), skipped: count(skipped), next_cursor }
    }
}

/// Stored items that one call reads, at most.
const ITEMS_MAX: usize = 100;

/// Reads a cursor; the first call has none.
fn read_cursor(text: Option<&str>) -> Result<ItemPosition, ApiError> {
    let Some(text) = text else { return Ok(ItemPosition::default()) };
    let parts = text.split_once(':').filter(|(digest, _)| digest.len() == 32);
    let (digest, key) = parts.ok_or_else(ApiError::invalid_cursor)?;
    Ok(ItemPosition { key: key.to_owned(), digest: digest.to_owned() })
}

impl Example for IngestBody {
    fn example() -> Self {
        Self::from_counts(12, 0)
    }
}

/// The member without which a body is no webhook.
#[derive(Deserialize)]
struct WebhookProbe {
    entry: Option<IgnoredAny>,
}

/// Operation that reads webhooks again.
#[derive(Debug, Clone)]
pub(crate) struct IngestAdmin(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Operator")]
impl IngestAdmin {
    /// Read stored items again
    ///
    /// Reads what WhatsApp has sent to a number, as it was kept (`retention.raw_days`), with this version of the server,
    /// so that items which an earlier version could not interpret are interpreted now. Nothing becomes two. One call
    /// reads 100 items; go on with `next_cursor` until it is null.
    #[oai(
        path = "/admin/v1/accounts/:phone_number_id/ingest",
        method = "post",
        operation_id = "ingestStoredItems"
    )]
    async fn ingest_stored(
        &self,
        operator: OperatorCaller,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// `next_cursor` of the call before.
        cursor: QueryParam<OpaqueText>,
    ) -> Result<DataResponse<IngestBody>, OperationError<StoredIngestFails>> {
        let found = self.0.directory.account_of_number(phone_number_id.0.as_str());
        let slot = found.ok_or_else(|| ApiError::not_found("account", "phone_number_id"))?;
        let account = slot.current_account();
        let after = read_cursor(cursor.0.as_ref().map(|text| text.0.as_str()))?;
        let limit = i64::try_from(ITEMS_MAX).unwrap_or(i64::MAX);
        let stored = self.0.store.page_raw_items(account.number, &after, limit).await.map_err(|error| {
            tracing::error!(error = cause(&error), "raw items not read");
            ApiError::from(AccountError::Storage)
        })?;
        let RereadItems { items, skipped } = reread_items(&account, &stored, self.0.clock.read_now())
            .map_err(|malformed| {
                tracing::error!(account = %account.id, error = cause(&malformed), "raw items not understood");
                ApiError::internal_error()
            })?;
        let mut body = IngestBody::from_counts(items.len(), skipped);
        let target = AuditTarget::one(AuditTargetKind::Account, &account.id);
        let (organisation, action) = (Some(account.organisation_id), AuditAction::AccountItemsReread);
        let entry = audit_entry(&self.0.clock, &operator.origin(), organisation, action, target);
        self.0.accounts.execute_audited(&slot, AccountCommand::Ingest(items), entry).await??;
        let last = stored.last().filter(|_| stored.len() == ITEMS_MAX);
        body.next_cursor = last.map(|item| format!("{}:{}", item.position.digest, item.position.key));
        Ok(DataResponse(body))
    }

    /// Read a webhook again
    ///
    /// Takes a webhook in as if WhatsApp had sent it just now, without its signature: one that never arrived, or one
    /// with items that an earlier version of this server could not read. What is known already changes nothing and
    /// makes no event, and messages that were kept as `unsupported` are filled in. Send it byte for byte as WhatsApp
    /// sent it, because repeated values are told by their bytes.
    #[oai(path = "/admin/v1/ingest", method = "post", operation_id = "ingestWebhook")]
    async fn ingest_webhook(
        &self,
        operator: OperatorCaller,
        ReplayedBody(bytes): ReplayedBody,
    ) -> Result<DataResponse<IngestBody>, OperationError<IngestFails>> {
        let probe = serde_json::from_slice::<WebhookProbe>(&bytes);
        if probe.is_ok_and(|probe| probe.entry.is_none()) {
            return Err(FieldError::missing_field("entry".to_owned()).into());
        }
        let counts = WhatsAppApi::new(&self.0).ingest_for_operator(bytes).await?;
        let (action, target) = (AuditAction::WebhookReread, AuditTarget::SERVER);
        self.0.enter_audit(&operator.origin(), None, action, target).await?;
        tracing::info!(items = counts.items, skipped = counts.skipped, "operator had a webhook read");
        Ok(DataResponse(IngestBody::from_counts(counts.items, counts.skipped)))
    }
}
