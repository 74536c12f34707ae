//! Meta's published shapes, both ways: what we send and what we take in, field by field.
//!
//! `tests/fixtures/meta/send` has the requests as WhatsApp must get them; `…/inbound` has webhooks, and
//! beside each the message that comes of it. Shapes are those of Meta's documentation, values are
//! ours. Every file of these folders is used.

mod cases;
pub(crate) mod ingress;

use std::collections::BTreeSet;
use std::path::PathBuf;

use kabar_core::domain::message::MessageKind;
use serde_json::{Value, json};

use crate::harness::{APP_SECRET, TestServer, check_object, manual_clock, patiently, post_bytes, text};

/// The fixtures of a folder by name, without their ending.
fn fixtures(folder: &str) -> Vec<(String, Value)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/meta").join(folder);
    let mut found: Vec<(String, Value)> = std::fs::read_dir(path)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json");
            let name = name.unwrap_or_else(|| panic!("{} is no fixture", path.display())).to_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// What the contract lets a client send: types, and forms of interactive messages.
const SENDABLE: [&str; 11] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "template",
    "interactive",
    "location",
    "contacts",
    "reaction",
];
const FORMS: [&str; 9] = [
    "button",
    "list",
    "cta_url",
    "product",
    "product_list",
    "flow",
    "location_request_message",
    "catalog_message",
    "address_message",
];
/// What customers may do with an interactive message.
const REPLIES: [&str; 3] = ["button_reply", "list_reply", "nfm_reply"];

#[test]
fn every_sendable_type_and_form_has_an_example() {
    let fixtures = fixtures("send");
    let all = |pointer: &str| -> BTreeSet<String> {
        fixtures.iter().filter_map(|(_, body)| body.pointer(pointer)?.as_str().map(str::to_owned)).collect()
    };
    assert_eq!(all("/type"), SENDABLE.map(str::to_owned).into());
    assert_eq!(all("/interactive/type"), FORMS.map(str::to_owned).into());
    assert_eq!(
        all("/interactive/header/type"),
        ["document", "image", "text", "video"].map(str::to_owned).into()
    );
    for medium in ["image", "video", "audio", "document", "sticker"] {
        for source in ["link", "id"] {
            assert!(!all(&format!("/{medium}/{source}")).is_empty(), "no {medium} by {source}");
        }
    }
    assert!(!all("/context/message_id").is_empty() && !all("/interactive/footer/text").is_empty());
}

#[test]
fn every_inbound_type_has_an_example_and_every_webhook_its_message() {
    let fixtures = fixtures("inbound");
    let (expected, webhooks): (Vec<_>, Vec<_>) =
        fixtures.iter().partition(|(name, _)| name.ends_with(".expected"));
    let names: Vec<String> = webhooks.iter().map(|(name, _)| format!("{name}.expected")).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    let kinds: BTreeSet<&str> = expected.iter().filter_map(|(_, message)| message["type"].as_str()).collect();
    let all: BTreeSet<&str> = MessageKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let unsaid: Vec<_> = all.difference(&kinds).copied().collect();
    // Customers send no templates; calls and welcome requests have cases of their own (`meta::cases`).
    let expected_unsaid = vec!["call", "request_welcome", "template"];
    assert_eq!((unsaid, kinds.is_subset(&all)), (expected_unsaid, true));
    let replies: BTreeSet<&str> =
        expected.iter().filter_map(|(_, message)| message.pointer("/payload/type")?.as_str()).collect();
    assert!(REPLIES.iter().all(|reply| replies.contains(reply)), "{replies:?}");
}

#[tokio::test]
async fn what_whatsapp_gets_is_what_meta_documents() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let fixtures = fixtures("send");
    let to = text(&fixtures[0].1["to"]);
    tenant.hears(&to, "hello").await;
    let mut counts = server.simulator.counts();
    for (nth, (name, example)) in fixtures.iter().enumerate() {
        let message = tenant.post("messages", example).await.is(200).data();
        let accepted = u64::try_from(nth).unwrap() + 1;
        patiently(counts.wait_for(|counts| counts.accepted == accepted)).await.unwrap();
        let mut received = server.simulator.sends().pop().unwrap().body;
        let opaque = received.as_object_mut().unwrap().remove("biz_opaque_callback_data");
        assert_eq!(opaque.as_ref(), Some(&message["id"]), "{name}");
        assert_eq!(&received, example, "{name}");
        // Nor is anything lost to the client.
        let kind = text(&example["type"]);
        assert_eq!((&message["type"], &message["payload"]), (&json!(kind), &example[&kind]), "{name}");
        let answered = example.pointer("/context/message_id").cloned().unwrap_or(Value::Null);
        assert_eq!(message["context"]["message_id"], answered, "{name}");
    }
}

#[tokio::test]
async fn what_meta_documents_becomes_the_message_beside_it() {
    let server = TestServer::shaped(|options| options.clock = manual_clock()).await;
    // The first number of a stage is the one that the webhooks name.
    let tenant = server.tenant().await;
    let fixtures = fixtures("inbound");
    let expected =
        |name: &str| &fixtures.iter().find(|(known, _)| *known == format!("{name}.expected")).unwrap().1;
    for (name, webhook) in fixtures.iter().filter(|(name, _)| !name.ends_with(".expected")) {
        let body = webhook.to_string().into_bytes();
        post_bytes(&server.anyone, body.clone(), APP_SECRET).await.is(200);
        let mut message = tenant.get("messages?limit=1").await.rows().remove(0);
        check_object(&message);
        let id = text(&message["id"]);
        let ours = ["id", "conversation_id", "contact_id", "created_at", "updated_at"];
        message.as_object_mut().unwrap().retain(|key, _| !ours.contains(&key.as_str()));
        assert_eq!(&message, expected(name), "{name}");
        // Once more changes nothing.
        post_bytes(&server.anyone, body, APP_SECRET).await.is(200);
        assert_eq!(tenant.get("messages?limit=1").await.rows()[0]["id"], id, "{name}");
    }
    let conversation = tenant.get("conversations").await.rows().remove(0);
    let counts = |(name, message): &&(String, Value)| {
        let kind = message["type"].as_str().unwrap_or_default();
        name.ends_with(".expected") && !["reaction", "system"].contains(&kind)
    };
    assert_eq!(conversation["unread_count"], fixtures.iter().filter(counts).count());
    assert_eq!(conversation["contact"]["name"], "Ayu Adler");
}
