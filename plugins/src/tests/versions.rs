//! Components of both packages: each is called with events in its own types.

use kabar_core::domain::account::Account;
use serde_json::json;

use super::*;
use crate::runtime::bindings::kabar::hooks::types as v1_0;
use crate::runtime::bindings_v1_1::kabar::hooks::types as v1_1;
use crate::runtime::{convert, convert_v1_1};
use crate::{HANDLER_V1_1, HookOutcome, RawMessages};

/// A guest of the newer package.
fn newer(parts: &str, body: &str) -> Bytes {
    let text = module(parts, body).replace("@1.0.0", "@1.1.0");
    wrap_module(&wat::parse_str(text).unwrap()).unwrap().into()
}

struct OneItem;

impl RawMessages for OneItem {
    fn read<'a>(&'a self, _account: &'a Account, _wamid: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(std::future::ready(Some("{\"type\":\"text\"}".to_owned())))
    }
}

#[tokio::test]
async fn a_hook_of_the_newer_package_runs_beside_one_of_the_older() {
    let host = host();
    let kv = "(import \"kabar:hooks/kv@1.0.0\" \"set\" (func $set (param i32 i32 i32 i32 i32))) \
              (data (i32.const 1024) \"k\")";
    let body = "(call $set (i32.const 1024) (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 2048)) \
                (i32.const 64)";
    let compiled = host.compile(upload(newer(kv, body))).await.unwrap();
    assert_eq!(compiled.exports, [Arc::from(HANDLER_V1_1)]);
    assert!(compiled.imports.iter().all(|import| import.ends_with("@1.1.0")), "{:?}", compiled.imports);
    let version = host.load(tenant(1), &compiled.artefact).await.unwrap();
    let report = host.run(&version, invocation()).await;
    assert_eq!((report.outcome, report.kv_writes.len()), (HookOutcome::Succeeded, 1));
    let older = host.compile(upload(component(kv, body))).await.unwrap();
    let older = host.load(tenant(1), &older.artefact).await.unwrap();
    assert_eq!(host.run(&older, invocation()).await.kv_writes, report.kv_writes);
}

#[tokio::test]
async fn every_type_of_event_reaches_both_packages() {
    let host = host().with_raw_messages(Arc::new(OneItem));
    let older = version(&host, component("", "(i32.const 64)")).await;
    let newer = version(&host, newer("", "(i32.const 64)")).await;
    for kind in EventType::ALL {
        let sample = sample::event(*kind);
        let invocation = Invocation { account: sample.account, event: sample.event, ..invocation() };
        for version in [&older, &newer] {
            let report = host.run(version, invocation.clone()).await;
            assert_eq!(report.outcome, HookOutcome::Succeeded, "{kind:?}");
        }
    }
}

/// The invocation with this event, in the form of the API.
fn invoked(event: &serde_json::Value) -> Invocation {
    let sample = sample::read(event).unwrap();
    Invocation { account: sample.account, event: sample.event, ..invocation() }
}

#[test]
fn a_contact_without_a_number_has_its_user_id_in_the_place_of_the_number_in_the_older_package() {
    let contact = json!({"user_id": "ID.7", "username": "rina.w"});
    let invoked = invoked(&json!({"type": "contact.created", "data": {"contact": contact}}));
    let v1_0::Change::ContactCreated(older) = convert::convert_event(&invoked, String::new).change else {
        panic!()
    };
    assert_eq!(older.phone_number, "ID.7");
    let v1_1::Change::ContactCreated(newer) = convert_v1_1::convert_event(&invoked, None, String::new).change
    else {
        panic!()
    };
    assert_eq!((newer.phone_number, newer.user_id.as_deref()), (None, Some("ID.7")));
    assert_eq!((newer.username.as_deref(), newer.kind.as_str()), (Some("rina.w"), "person"));
    let identifiers: Vec<_> =
        newer.identifiers.iter().map(|one| (one.kind.as_str(), one.value.as_str())).collect();
    assert_eq!(identifiers, [("user_id", "ID.7")]);
}

#[test]
fn a_younger_type_of_event_is_other_in_the_older_package_and_itself_in_the_newer() {
    let value = json!({"event": "DISABLED_UPDATE"});
    let data = json!({"field": "account_update", "value": value});
    let invoked = invoked(&json!({"type": "whatsapp.account_update", "data": data}));
    let (data, value) = (data.to_string(), value.to_string());
    let older = convert::convert_event(&invoked, || data.clone());
    assert_eq!(older.kind, "whatsapp.account_update");
    assert!(matches!(older.change, v1_0::Change::Other(told) if told == data));
    let newer = convert_v1_1::convert_event(&invoked, None, String::new).change;
    assert!(matches!(newer, v1_1::Change::WhatsappField(told) if told.value == value));
}

#[test]
fn the_newer_package_shows_the_raw_item_and_the_details() {
    let message = json!({"source": "app", "standby": true, "context": {"forwarded": true},
        "referral": {"ctwa_clid": "AR7"}});
    let invoked = invoked(&json!({"type": "message.received", "data": {"message": message}}));
    let event = convert_v1_1::convert_event(&invoked, Some("{}".to_owned()), String::new);
    assert_eq!(event.raw.as_deref(), Some("{}"));
    let v1_1::Change::MessageReceived(message) = event.change else { panic!() };
    assert_eq!((message.source.as_str(), message.standby), ("app", true));
    assert!(message.context.unwrap().forwarded);
    assert_eq!(message.referral.as_deref(), Some(r#"{"ctwa_clid":"AR7"}"#));
}
