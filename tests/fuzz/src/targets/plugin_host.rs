//! One host of hooks for the targets that need one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventType;
use kabar_core::domain::key_values::KeyValues;
use kabar_core::domain::plugin::Capabilities;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::OrganisationId;
use kabar_openapi::MessageDrafts;
use kabar_plugins::sample::SampleEvent;
use kabar_plugins::{
    COMPILED_BYTES_MAX, ComponentUpload, HostOptions, Invocation, NoNetwork, OutboundMode, PluginHost,
    RunLimits,
};

const NOW: Timestamp = Timestamp::from_millis(1_781_866_800_000);
const HOST: &str = "chat.example";

static PLUGIN_HOST: LazyLock<PluginHost> = LazyLock::new(|| {
    let options = HostOptions { runs_max: 4, ..HostOptions::new([1; 32]) };
    PluginHost::new(options, Arc::new(NoNetwork), Arc::new(MessageDrafts)).unwrap()
});

/// Returns the host of this process, and starts it first.
pub(super) fn plugin_host() -> &'static PluginHost {
    &PLUGIN_HOST
}

fn allowed_hosts() -> AllowedHosts {
    AllowedHosts::parse([HOST]).unwrap()
}

/// Returns the upload of a component.
pub(super) fn upload(wasm: impl Into<Bytes>) -> ComponentUpload {
    ComponentUpload {
        organisation_id: OrganisationId::from_bits(1),
        wasm: wasm.into(),
        compiled_bytes_max: COMPILED_BYTES_MAX,
        granted: Capabilities::all_granted(),
        config: Arc::default(),
        secrets: Arc::default(),
        allowed_hosts: allowed_hosts(),
        trial: EventType::MessageStatus,
        now: NOW,
    }
}

/// Returns the run of an event with one entry in the plugin's map.
pub(super) fn invocation(sample: SampleEvent, key: &str, value: &[u8]) -> Invocation {
    let kv: KeyValues = [(Arc::from(key), Arc::from(value))].into_iter().collect();
    Invocation {
        organisation_id: OrganisationId::from_bits(1),
        plugin: "plg_1".into(),
        account: sample.account,
        event: sample.event,
        run_id: None,
        attempt: 1,
        config: Arc::new(BTreeMap::new()),
        secrets: Arc::default(),
        allowed_hosts: allowed_hosts(),
        kv,
        // Generous: time is not what is tried here.
        limits: RunLimits {
            cpu: Duration::from_secs(20),
            wall: Duration::from_mins(1),
            ..RunLimits::default()
        },
        now: NOW,
        seed: [7; 32],
        outbound: OutboundMode::Captured,
    }
}
