//! The built examples, which a compiler made with the SDKs: of each package, one or more.

use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::key_values::KvWrite;
use serde_json::{Value, json};

use super::*;
use crate::{HANDLER, HANDLER_V1_1, HookOutcome, RequestedEffect};

const RUST_FALLBACK: &[u8] = include_bytes!("../../examples/built/rust-fallback.wasm");
const C_ASSIGN: &[u8] = include_bytes!("../../examples/built/c-assign.wasm");
const RUST_CHANGES: &[u8] = include_bytes!("../../examples/built/rust-changes.wasm");

/// Runs the example of the newer package on this event.
async fn run_changes(event: &Value) -> RunReport {
    let host = host();
    let version = version(&host, Bytes::from_static(RUST_CHANGES)).await;
    let sample = sample::read(event).unwrap();
    host.run(&version, Invocation { account: sample.account, event: sample.event, ..invocation() }).await
}

#[tokio::test]
async fn each_example_is_of_the_package_that_it_was_built_for() {
    for (wasm, handler) in [(RUST_FALLBACK, HANDLER), (C_ASSIGN, HANDLER), (RUST_CHANGES, HANDLER_V1_1)] {
        let compiled = host().build_component(&upload(wasm)).await.unwrap();
        assert_eq!(compiled.exports, [Arc::from(handler)]);
        let (_, version) = handler.split_once('@').unwrap();
        let imports = compiled.imports.iter().filter(|import| import.starts_with("kabar:hooks/"));
        assert!(imports.clone().count() > 1, "{:?}", compiled.imports);
        assert!(imports.clone().all(|import| import.ends_with(version)), "{:?}", compiled.imports);
    }
}

#[tokio::test]
async fn an_edited_message_opens_its_conversation() {
    let conversation = "cnv_01KGV3R8E3V5W1Q2R3S4T5V6W7";
    let message = json!({"conversation_id": conversation, "content": "three, please"});
    let data = json!({"message": message, "previous_content": "two, please"});
    let report = run_changes(&json!({"type": "message.edited", "data": data})).await;
    assert_eq!(report.outcome, HookOutcome::Succeeded);
    let [RequestedEffect::UpdateConversation { conversation_id, status, assigned_to }] = &*report.effects
    else {
        panic!("{:?}", report.effects)
    };
    assert_eq!(conversation_id.to_string(), conversation);
    assert_eq!((*status, *assigned_to), (Some(ConversationStatus::Open), None));
    assert!(report.logs[0].text.ends_with("it said \"two, please\""), "{:?}", report.logs);
}

#[tokio::test]
async fn the_contact_of_a_user_id_is_kept() {
    let contact = json!({"id": "ctc_01KGV3R8E3V5W1Q2R3S4T5V6W7", "user_id": "ID.7", "username": "rina.w"});
    let report = run_changes(&json!({"type": "contact.created", "data": {"contact": contact}})).await;
    assert_eq!(report.outcome, HookOutcome::Succeeded);
    let id = b"ctc_01KGV3R8E3V5W1Q2R3S4T5V6W7".as_slice();
    assert_eq!(report.kv_writes, [KvWrite::Put("contacts/ID.7".into(), id.into())]);
}
