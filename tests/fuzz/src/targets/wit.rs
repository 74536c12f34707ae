//! Values that cross into a hook and out of it: a line with an event as JSON, then the bytes that the hook passes to
//! everything that it may call.

use std::sync::{Arc, LazyLock};

use kabar_core::domain::key_values::KvWrite;
use kabar_core::ids::OrganisationId;
use kabar_plugins::component::wrap::wrap_module;
use kabar_plugins::{HookFault, HookOutcome, LoadedVersion, RequestedEffect, RunReport, sample};

use super::plugin_host::{invocation, plugin_host, upload};
use super::{FuzzTarget, split_line};
use crate::runtime::wait_for;

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "wit",
    run,
    words: &[
        "type",
        "message.received",
        "message.status",
        "message.edited",
        "contact.created",
        "conversation.updated",
        "whatsapp.flows",
        "account.updated",
        "data",
        "message",
        "conversation",
        "contact",
        "account",
        "id",
        "sequence",
        "created_at",
        "livemode",
        "payload",
        "content",
        "error",
        "provider_code",
        "previous_status",
        "occurred_at",
        "status",
        "failed",
        "context",
        "cnv_01KGV3R8E3V5W1Q2R3S4T5V6W7",
        "https://chat.example/",
        "{\"to\":\"+6281234567890\",\"type\":\"text\",\"text\":{\"body\":\"a\"}}",
        "\n",
        "\0",
        "\u{feff}",
        "\u{10ffff}",
    ],
    input_bytes_max: 16 << 10,
    mutations: 2000,
};

/// Key under which the guest finds the bytes.
const KEY: &str = "bytes";
/// A guest that passes the bytes to everything that it may call, and rejects its event for this reason.
const GUEST: &str = include_str!("wit/guest.wat");
const SKELETON: &str = include_str!("../../../../plugins/fixtures/guest.wat.in");

/// The guest, built for each version of the package.
static GUESTS: LazyLock<Vec<Arc<LoadedVersion>>> =
    LazyLock::new(|| ["@1.0.0", "@1.1.0"].map(build_guest).into_iter().collect());

fn build_guest(version: &str) -> Arc<LoadedVersion> {
    let (parts, body) = GUEST.split_once(";; body\n").unwrap();
    let module = SKELETON.replace("{parts}", parts).replace("{body}", body).replace("@1.0.0", version);
    let component = wrap_module(&wat::parse_str(module).unwrap()).unwrap();
    let compiled = wait_for(plugin_host().compile(upload(component))).unwrap();
    wait_for(plugin_host().load(OrganisationId::from_bits(1), &compiled.artefact)).unwrap()
}

/// Any event crosses into a hook, and text crosses back unchanged. A hook that passes anything else is stopped.
fn run(input: &[u8]) {
    let (event, bytes) = split_line(input);
    let Ok(json) = serde_json::from_slice(event) else { return };
    let Ok(sample) = sample::read(&json) else { return };
    for guest in &*GUESTS {
        let report = wait_for(plugin_host().run(guest, invocation(sample.clone(), KEY, bytes)));
        match std::str::from_utf8(bytes) {
            Ok(text) => check_report(&report, text),
            Err(_not_text) => {
                let stopped = matches!(report.outcome, HookOutcome::Trapped(HookFault::Crash, _));
                assert!(stopped, "bytes that are no text crossed: {report:?}");
            }
        }
    }
}

fn check_report(report: &RunReport, text: &str) {
    let HookOutcome::Rejected(why) = &report.outcome else { panic!("{report:?}") };
    assert!(text.starts_with(why.trim_end_matches('…')), "{why:?} of {text:?}");
    for effect in &report.effects {
        match effect {
            RequestedEffect::Send { body, .. } => assert_eq!(&**body, text),
            RequestedEffect::UpdateConversation { conversation_id, .. } => {
                assert_eq!(conversation_id.to_string(), text);
            }
        }
    }
    for write in &report.kv_writes {
        assert_eq!(&**write.written_key(), text);
        assert!(!text.contains('\0'), "a key that PostgreSQL does not keep");
        if let KvWrite::Put(_, value) = write {
            assert_eq!(&**value, text.as_bytes());
        }
    }
    for call in &report.http_calls {
        assert_eq!(&*call.url, text);
    }
}
