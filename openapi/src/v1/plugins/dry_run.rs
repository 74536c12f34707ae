//! Dry runs of a version: on a sample, or on an event of the log; no effect is performed.

use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::address::Address;
use kabar_core::domain::delivery::AttemptOutcome;
use kabar_core::domain::effect::Effect;
use kabar_core::domain::event::Event;
use kabar_core::domain::key_values::KvWrite;
use kabar_core::domain::message::OutgoingMessage;
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::run::HookReport;
use kabar_core::domain::subscriber::Subscriber;
use kabar_core::ids::{DeliveryId, EventId, PluginId, PluginVersionId, ulid};
use kabar_core::ports::{AttemptResult, DeliveryRequest, RequestForm};
use poem::http::StatusCode;
use poem_openapi::types::{Any, Example};
use poem_openapi::{Object, OpenApi};
use serde_json::{Map, Value, json};

use super::find_plugin;
use super::runs::body::{LogLineBody, UsageBody};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, once_beside};
use crate::rest::json_body::JsonBody;
use crate::rest::params::Path;
use crate::rest::tags::ApiTag;
use crate::rest::text::{FreeObject, TextValue, nouns};

nouns! {
    /// `object` of the result of a test.
    PluginTestNoun = "plugin_test";
}

code_list! {
    /// Error codes of a test.
    TestFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, IdempotencyInProgress,
        PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
}

/// Input of a test: an event of your own, or one of the log, not both.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct TestPlugin {
    /// An event in the form of `GET …/events`; missing members are filled in.
    pub(crate) event: Option<Any<Map<String, Value>>>,
    /// An event of one of your accounts' logs (`evt_…`).
    #[oai(validator(pattern = "^evt_[0-9A-HJKMNP-TV-Z]{26}$"))]
    pub(crate) event_id: Option<String>,
    /// The version (`plv_…`); the active one unless you name another.
    #[oai(validator(pattern = "^plv_[0-9A-HJKMNP-TV-Z]{26}$"))]
    pub(crate) version_id: Option<String>,
}

impl Example for TestPlugin {
    fn example() -> Self {
        let event =
            json!({"type": "message.status", "data": {"status": "failed", "previous_status": "sent"}});
        let event = event.as_object().cloned().unwrap_or_default();
        Self { event: Some(Any(event)), event_id: None, version_id: None }
    }
}

/// Result of a test; no effect was performed.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginTest", example)]
pub(crate) struct TestBody {
    /// Always `plugin_test`.
    pub(crate) object: TextValue<PluginTestNoun>,
    /// The version that ran.
    pub(crate) version_id: TextValue<PluginVersionId>,
    /// `succeeded`; `retry` and `rejected` as the component answered; `failed` when it broke or went over a
    /// limit.
    pub(crate) result: String,
    /// Cause of the failure.
    pub(crate) error: Option<TextValue<Arc<str>>>,
    /// Log lines that it wrote.
    pub(crate) logs: Vec<LogLineBody>,
    /// `true` when it wrote more than is kept.
    pub(crate) logs_truncated: bool,
    /// Effects that it requested.
    pub(crate) effects: Vec<CapturedEffect>,
    /// Changes that it would make to its keys and values.
    pub(crate) kv_writes: Vec<CapturedWrite>,
    /// Calls to other hosts that it would make; each was answered with 200 and `{}`.
    pub(crate) http_calls: Vec<CapturedCall>,
    /// Resources that it used; null when it was not started.
    pub(crate) usage: Option<UsageBody>,
}

/// An effect that a component requested.
#[derive(Debug, Clone, Object)]
#[oai(rename = "CapturedEffect")]
pub(crate) struct CapturedEffect {
    /// `messages.send`, `messages.mark_read` or `conversations.update`.
    #[oai(rename = "type")]
    pub(crate) kind: String,
    /// The request's body.
    pub(crate) body: FreeObject,
}

/// A change of a plugin's keys and values.
#[derive(Debug, Clone, Object)]
#[oai(rename = "CapturedWrite")]
pub(crate) struct CapturedWrite {
    /// `put`, `delete` or `add`.
    pub(crate) op: String,
    /// The key.
    pub(crate) key: TextValue<Arc<str>>,
    /// The value, or what is added, as far as it is text.
    pub(crate) value: Option<String>,
}

/// A call to another host.
#[derive(Debug, Clone, Object)]
#[oai(rename = "CapturedCall")]
pub(crate) struct CapturedCall {
    /// Upper-case.
    pub(crate) method: TextValue<Arc<str>>,
    /// Target of the call.
    pub(crate) url: TextValue<Arc<str>>,
}

fn show_send(outgoing: &OutgoingMessage) -> Value {
    let mut body = json!({
        "to": outgoing.to.as_str(),
        "type": outgoing.kind.as_str(),
        outgoing.kind.as_str(): serde_json::from_str::<Value>(&outgoing.payload).unwrap_or_default(),
    });
    if let (Some(members), Address::Group(_)) = (body.as_object_mut(), &outgoing.to) {
        members.insert("recipient_type".to_owned(), "group".into());
    }
    body
}

impl CapturedEffect {
    fn from_effect(effect: &Effect) -> Self {
        let body = match effect {
            Effect::Send(outgoing) => show_send(outgoing),
            Effect::MarkRead(mark) if mark.typing => {
                json!({"message_id": &*mark.wamid, "typing_indicator": {"type": "text"}})
            }
            Effect::MarkRead(mark) => json!({"message_id": &*mark.wamid}),
            Effect::UpdateConversation { id, status, assigned_to } => {
                let mut body = json!({"conversation_id": id.to_string()});
                if let (Some(members), Some(status)) = (body.as_object_mut(), status) {
                    members.insert("status".to_owned(), status.as_str().into());
                }
                if let (Some(members), Some(user)) = (body.as_object_mut(), assigned_to) {
                    members.insert("assigned_to".to_owned(), user.map(|user| user.to_string()).into());
                }
                body
            }
        };
        Self { kind: effect.as_str().to_owned(), body: FreeObject(body.to_string().into()) }
    }
}

impl CapturedWrite {
    fn from_write(write: &KvWrite) -> Self {
        let (op, key, value) = match write {
            KvWrite::Put(key, value) => ("put", key, Some(String::from_utf8_lossy(value).into_owned())),
            KvWrite::Delete(key) => ("delete", key, None),
            KvWrite::Add(key, amount) => ("add", key, Some(amount.to_string())),
        };
        Self { op: op.to_owned(), key: TextValue(key.clone()), value }
    }
}

impl TestBody {
    fn from_receipt(version: PluginVersionId, receipt: &AttemptResult) -> Self {
        let report = receipt.report.as_deref();
        let broke = report.is_none_or(|report| report.broke);
        let result = match receipt.outcome {
            AttemptOutcome::Delivered => "succeeded",
            AttemptOutcome::Rejected | AttemptOutcome::Gone => "rejected",
            AttemptOutcome::Retry { .. } if broke => "failed",
            AttemptOutcome::Retry { .. } => "retry",
        };
        let of = |report: &HookReport| report.calls.iter().map(captured).collect();
        Self {
            object: TextValue(PluginTestNoun),
            version_id: TextValue(version),
            result: result.to_owned(),
            error: receipt.error.clone().map(TextValue),
            logs: report.map(|one| one.logs.iter().map(LogLineBody::from_line).collect()).unwrap_or_default(),
            logs_truncated: report.is_some_and(|one| one.logs_cut),
            effects: report
                .map(|one| one.effects.iter().map(CapturedEffect::from_effect).collect())
                .unwrap_or_default(),
            kv_writes: report
                .map(|one| one.writes.iter().map(CapturedWrite::from_write).collect())
                .unwrap_or_default(),
            http_calls: report.map(of).unwrap_or_default(),
            usage: report.map(|one| UsageBody::from_usage(one.usage)),
        }
    }
}

fn captured(call: &kabar_core::domain::run::HookCall) -> CapturedCall {
    CapturedCall { method: TextValue(call.method.clone()), url: TextValue(call.url.clone()) }
}

impl Example for TestBody {
    fn example() -> Self {
        Self::from_receipt(
            crate::spec::example_rows::plugin_version().id,
            &crate::spec::example_rows::example_receipt(),
        )
    }
}

/// Operation that tests a plugin.
#[derive(Debug, Clone)]
pub(crate) struct DryRunApi(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Plugins")]
impl DryRunApi {
    /// Test a plugin
    ///
    /// Runs a version on a sample, or on an event of the log, with the plugin's own config, secrets, keys and
    /// values. Nothing is performed: no message is sent, nothing is stored, no host is called, and no run is
    /// listed.
    #[oai(path = "/v1/plugins/:plugin_id/test", method = "post", operation_id = "testPlugin")]
    async fn test_plugin(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        body: JsonBody<TestPlugin>,
    ) -> Result<IdempotentResponse<TestBody, 200>, OperationError<TestFails>> {
        let make = async {
            let plugin = find_plugin(&self.0, &tenant, plugin_id.0)?;
            self.dry_run(plugin, &call, &body.value).await
        };
        Ok(once_beside(&self.0, &tenant, &call, &body.value, StatusCode::OK, make).await?.into())
    }
}

impl DryRunApi {
    async fn dry_run(
        &self,
        plugin: Arc<Plugin>,
        call: &IdempotentCall,
        body: &Value,
    ) -> Result<TestBody, ApiError> {
        let fields = BodyFields::of_body(body)?;
        let named = fields.optional_word("version_id", "the id of a version (plv_…)", |text| {
            PluginVersionId::parse(text).ok()
        })?;
        let subscribers = self.0.accounts.subscribers();
        let version = named.or(plugin.active_version).ok_or_else(|| {
            let mut missing = FieldError::missing_field("version_id".to_owned());
            "no version is active: name one with version_id".clone_into(&mut missing.message);
            missing
        })?;
        if subscribers.plugin_version(plugin.id, version).await?.is_none() {
            return Err(ApiError::not_found("version of this plugin", "version_id"));
        }
        let (account, event) = self.find_event(&plugin, &fields).await?;
        call.shows_contact(event.kind.contact_id());
        let delivery_request = DeliveryRequest {
            subscriber: Subscriber::Hook(plugin.clone()),
            account,
            event,
            form: RequestForm::Event,
            delivery_id: DeliveryId::from_bits(ulid(self.0.clock.read_now().millis(), rand::random())),
            attempt: 1,
            kv: subscribers.plugin_kv(plugin.id).await?,
        };
        let receipt = self.0.toolchain.dry_run(version, delivery_request).await;
        Ok(TestBody::from_receipt(version, &receipt))
    }

    async fn find_event(
        &self,
        plugin: &Plugin,
        fields: &BodyFields<'_>,
    ) -> Result<(Arc<Account>, Arc<Event>), ApiError> {
        let recorded = fields
            .optional_word("event_id", "the id of an event (evt_…)", |text| EventId::parse(text).ok())?;
        match (fields.get("event"), recorded) {
            (Some(_), Some(_)) => Err(fields.refused("event_id", "give event or event_id, not both").into()),
            (Some(sample), None) => self.0.toolchain.sample(sample).map_err(|wrong| {
                let path =
                    if wrong.path.is_empty() { "event".to_owned() } else { format!("event.{}", wrong.path) };
                FieldError::invalid_value(path, wrong.wanted).into()
            }),
            (None, Some(id)) => {
                let found = self.0.accounts.find_event(plugin.organisation_id, id).await?;
                found.ok_or_else(|| ApiError::not_found("event", "event_id"))
            }
            (None, None) => {
                let mut missing = FieldError::missing_field("event".to_owned());
                "give event or event_id".clone_into(&mut missing.message);
                Err(missing.into())
            }
        }
    }
}
