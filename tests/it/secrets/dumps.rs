//! A dump of the database and of the folder of compiled components shows no secret.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::harness::{APP_SECRET, OPERATOR_TOKEN, Receiver, VERIFY_TOKEN};
use crate::plugins::guests::Guest;

/// Bytes of all files of a folder.
fn files(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn contains(dump: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(dump, wanted).is_some()
}

/// A secret in the forms in which it could be hidden: as it is, in base64 at each of three places, in hexadecimal digits.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![bytes.to_vec(), hex(bytes).into_bytes(), hex(bytes).to_uppercase().into_bytes()];
    for skipped in 0..3 {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let mut shifted = vec![0; skipped];
            shifted.extend_from_slice(bytes);
            let whole = shifted.len() / 3 * 3;
            let text = engine.encode(&shifted[..whole]);
            // The first characters hold bits of what stands before.
            forms.push(text.as_bytes()[skipped.div_ceil(3) * 4..].to_vec());
        }
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_shows_no_secret() {
    let room = Room::new().await;
    let mut server = room.server().await;
    let tenant = server.tenant().await;
    set_account_secrets(&server, &tenant).await;
    let receiver = Receiver::start().await;
    let subscribed = subscribe_once(&tenant, "subscribe", &receiver.url()).await;
    let path = format!("/v1/webhook_subscriptions/{}/secrets", id_of(&subscribed));
    let key = [("Idempotency-Key", "another secret")];
    let added = tenant.api.post_with(&path, &key, &json!({})).await.is(201).data();

    let plugin =
        json!({"name": "hook", "events": ["message.received"], "secrets": {"PASSWORD": PLUGIN_SECRET}});
    let key = [("Idempotency-Key", "plugin")];
    let plugin = id_of(&tenant.api.post_with("/v1/plugins", &key, &plugin).await.is(201).data());
    let path = |tail: &str| format!("/v1/plugins/{plugin}/{tail}");
    let uploaded = tenant.api.upload(&path("versions"), "application/wasm", Guest::idle().component()).await;
    let version = json!({"version_id": uploaded.is(201).data()["id"]});
    tenant.api.post(&path("activate"), &version).await.is(200);
    let patch = json!({"secrets": {"PASSWORD": PLUGIN_SECRET, "MORE": format!("{PLUGIN_SECRET}-more")}});
    let key = [("Idempotency-Key", "patch")];
    tenant.api.call("PATCH", &format!("/v1/plugins/{plugin}"), &key, Some(&patch)).await.is(200);
    tenant.hears(&from(0), "hello").await;
    receiver.until(1).await;
    sends(&tenant).await;

    let (first, second) = (text(&subscribed["initial_secret"]), text(&added["secret"]));
    let raw = |secret: &str| STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    let secrets = [
        ACCESS_TOKEN,
        ACCOUNT_SECRET,
        PLUGIN_SECRET,
        &first,
        &second,
        &tenant.key,
        OPERATOR_TOKEN,
        APP_SECRET,
        VERIFY_TOKEN,
        &room.keys()[0],
    ];
    // What is found is what is there: the name of the plugin's secret is no secret, but goes with it.
    for stopped in [false, true] {
        let mut dump = database::dump(&room.url).await;
        dump.extend(files(&room.hooks_folder()));
        assert!(contains(&dump, b"hello") && contains(&dump, tenant.organisation.as_bytes()));
        for secret in secrets {
            for form in forms(secret) {
                assert!(!contains(&dump, &form), "{secret} as {}", String::from_utf8_lossy(&form));
            }
        }
        for secret in [&first, &second] {
            assert!(!contains(&dump, &raw(secret)) && !contains(&dump, hex(&raw(secret)).as_bytes()));
        }
        if !stopped {
            server.stop().await;
        }
    }
    server.start_again().await;
    sends(&tenant).await;
    tenant.hears(&from(0), "again").await;
    let calls = receiver.until(2).await;
    assert_eq!(calls[1].signers(&[&first, &second]).1, [second.as_str(), first.as_str()]);
}
