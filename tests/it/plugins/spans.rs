//! The span of a run: its ids, and nothing that the hook was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use kabar_core::domain::account::Secret;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventType;
use kabar_core::domain::key_values::KeyValues;
use kabar_core::domain::plugin::Capabilities;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{OrganisationId, RunId};
use kabar_plugins::{
    ComponentUpload, DraftReader, DraftRefused, DraftedRequest, HostOptions, Invocation, NoNetwork,
    OutboundMode, PluginHost, RunLimits, sample,
};

use super::guests::Guest;
use crate::harness::SpanRecorder;

/// Refuses every draft.
struct NoDrafts;

impl DraftReader for NoDrafts {
    fn read(&self, _body: &str) -> Result<DraftedRequest, DraftRefused> {
        Err(DraftRefused { code: "bad_request".into(), message: "no drafts here".into(), param: None })
    }
}

#[tokio::test]
async fn a_run_has_a_span_of_ids_only() {
    let host = PluginHost::new(HostOptions::new([7; 32]), Arc::new(NoNetwork), Arc::new(NoDrafts)).unwrap();
    let upload = ComponentUpload {
        organisation_id: OrganisationId::from_bits(1),
        wasm: Guest::idle().component().into(),
        compiled_bytes_max: 32 << 20,
        granted: Capabilities::all_granted(),
        config: Arc::default(),
        secrets: Arc::default(),
        allowed_hosts: AllowedHosts::default(),
        trial: EventType::MessageStatus,
        now: Timestamp::EPOCH,
    };
    let compiled = host.compile(upload).await.unwrap();
    let version = host.load(OrganisationId::from_bits(1), &compiled.artefact).await.unwrap();
    let event = sample::event(EventType::MessageStatus);
    let invocation = Invocation {
        organisation_id: OrganisationId::from_bits(1),
        plugin: "plg_1".into(),
        account: event.account,
        event: event.event,
        run_id: Some(RunId::from_bits(1)),
        attempt: 3,
        config: Arc::new(BTreeMap::from([("room".into(), "ops".into())])),
        secrets: Arc::new(BTreeMap::from([("token".into(), Secret::new("hidden"))])),
        allowed_hosts: AllowedHosts::default(),
        kv: KeyValues::default(),
        limits: RunLimits::default(),
        now: Timestamp::EPOCH,
        seed: [7; 32],
        outbound: OutboundMode::Captured,
    };
    let (recorder, _recording) = SpanRecorder::start();
    assert!(host.run(&version, invocation).await.outcome.succeeded());
    let [span] = recorder.spans_of("plugin.run").try_into().unwrap();
    let run = RunId::from_bits(1).to_string();
    let expected = [("plugin", "plg_1".to_owned()), ("run", run), ("attempt", "3".to_owned())];
    assert_eq!(span.fields, expected.into());
}
