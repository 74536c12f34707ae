//! The host through its own door: tiny guests, written as core modules, built, loaded and run.

mod effects;
mod examples;
mod fairness;
mod hostile;
mod outbound;
mod uploads;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use kabar_core::domain::address::Address;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventType;
use kabar_core::domain::key_values::KeyValues;
use kabar_core::domain::message::{MessageKind, OutgoingMessage};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::plugin::Capabilities;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OrganisationId;

use crate::component::wrap::wrap_module;
use crate::{
    ComponentUpload, DraftReader, DraftRefused, DraftedRequest, FetchAnswer, FetchError, FetchRequest,
    HostOptions, HttpFetcher, Invocation, LoadedVersion, NoNetwork, OutboundMode, PluginHost, RunLimits,
    RunReport, sample,
};

const NOW: Timestamp = Timestamp::from_millis(1_781_866_800_000);

/// Takes every body for a text to one number, but for `bad`.
struct AnyDraft;

impl DraftReader for AnyDraft {
    fn read(&self, body: &str) -> Result<DraftedRequest, DraftRefused> {
        if body == "bad" {
            return Err(DraftRefused {
                code: "missing_required_field".into(),
                message: "to is missing".into(),
                param: Some("to".into()),
            });
        }
        Ok(DraftedRequest::Send(OutgoingMessage {
            to: Address::Phone(Phone::parse("+6281234567890").unwrap()),
            kind: MessageKind::Text,
            content: body.into(),
            payload: "{}".into(),
            context: None,
            reaction: None,
            template: None,
            callback_data: None,
            source: MessageSource::Api,
        }))
    }
}

fn options() -> HostOptions {
    HostOptions { runs_max: 4, ..HostOptions::new([1; 32]) }
}

fn host() -> PluginHost {
    PluginHost::new(options(), Arc::new(NoNetwork), Arc::new(AnyDraft)).unwrap()
}

fn tenant(n: u128) -> OrganisationId {
    OrganisationId::from_bits(n)
}

fn upload(wasm: impl Into<Bytes>) -> ComponentUpload {
    ComponentUpload {
        organisation_id: tenant(1),
        wasm: wasm.into(),
        compiled_bytes_max: 32 << 20,
        granted: Capabilities::all_granted(),
        config: Arc::default(),
        secrets: Arc::default(),
        allowed_hosts: AllowedHosts::default(),
        trial: EventType::MessageStatus,
        now: NOW,
    }
}

fn invocation() -> Invocation {
    let sample = sample::event(EventType::MessageStatus);
    Invocation {
        organisation_id: tenant(1),
        plugin: "plg_1".into(),
        account: sample.account,
        event: sample.event,
        run_id: None,
        attempt: 1,
        config: Arc::new(BTreeMap::from([("room".into(), "ops".into())])),
        secrets: Arc::default(),
        allowed_hosts: AllowedHosts::parse(["chat.example"]).unwrap(),
        kv: KeyValues::default(),
        limits: RunLimits::default(),
        now: NOW,
        seed: [7; 32],
        outbound: OutboundMode::Performed,
    }
}

/// A guest whose `handle` is this body. It answers the address of its result; at 64 there is an `ok`.
///
/// `parts` are imports and further fields; texts may lie from 1024 on, and memory is given out from
/// 64 KiB on.
fn module(parts: &str, body: &str) -> String {
    include_str!("../fixtures/guest.wat.in").replace("{parts}", parts).replace("{body}", body)
}

/// That guest as a component.
fn component(parts: &str, body: &str) -> Bytes {
    wrap_module(&wat::parse_str(module(parts, body)).unwrap()).unwrap().into()
}

/// Builds and loads a guest without trying it out.
async fn version(host: &PluginHost, wasm: Bytes) -> Arc<LoadedVersion> {
    let compiled = host.build_component(&upload(wasm)).await.unwrap();
    host.load(tenant(1), &compiled.artefact).await.unwrap()
}

async fn run(host: &PluginHost, parts: &str, body: &str) -> RunReport {
    let version = version(host, component(parts, body)).await;
    host.run(&version, invocation()).await
}

/// Answers every call in the same way, or never.
struct Answering(Option<Result<FetchAnswer, FetchError>>);

impl HttpFetcher for Answering {
    fn fetch(&self, _request: FetchRequest) -> BoxFuture<'_, Result<FetchAnswer, FetchError>> {
        match self.0.clone() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    }
}
