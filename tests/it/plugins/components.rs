//! Components and their compiled forms: what they may take on disk and in all, and when it is given back.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::Plugin;
use crate::harness::{TestServer, text, until_matches};

/// A server that keeps compiled forms in this folder, which it makes itself.
async fn server_with(folder: &Path, settings: &[(&str, &str)]) -> TestServer {
    TestServer::shaped(|options| {
        options.set("KABAR_HOOKS__CACHE_FOLDER", folder.to_str().unwrap());
        for (name, value) in settings {
            options.set(name, value);
        }
    })
    .await
}

fn files(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn compiled_forms_are_kept_from_others_and_go_with_their_version() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("a/hooks");
    let server = server_with(&folder, &[]).await;
    let tenant = server.tenant().await;
    let plugin = Plugin::make(&tenant, json!({})).await;
    let mut versions = Vec::new();
    // Ten are kept, the active one among them.
    for n in 0..11 {
        versions
            .push(text(&plugin.upload(Guest::counts(&n.to_string()).component()).await.is(201).data()["id"]));
        if n == 0 {
            plugin.activate_version(&versions[0]).await;
        }
    }
    let named = |ids: &[String]| ids.iter().map(|id| format!("{id}.artefact")).collect::<BTreeSet<_>>();
    versions.remove(1);
    until_matches(async || files(&folder), |found| *found == named(&versions)).await;
    assert_eq!((mode(&folder), mode(&folder.join(format!("{}.artefact", versions[0])))), (0o700, 0o600));
    let other = Plugin::make(&tenant, json!({})).await;
    let kept = other.deploy(&Guest::idle()).await;
    tenant.api.delete(&plugin.path("")).await.is(204);
    until_matches(async || files(&folder), |found| *found == named(std::slice::from_ref(&kept))).await;
}

#[tokio::test]
async fn remnants_go_at_the_start() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("hooks");
    std::fs::create_dir(&folder).unwrap();
    for name in
        ["plv_00000000000000000000000007.artefact", "plv_00000000000000000000000008.part", "of-others.txt"]
    {
        std::fs::write(folder.join(name), "remnant").unwrap();
    }
    let _server = server_with(&folder, &[]).await;
    until_matches(async || files(&folder), |found| found.len() == 1 && found.contains("of-others.txt")).await;
}

#[tokio::test]
async fn the_components_of_an_organisation_have_a_size_in_all() {
    let room = tempfile::tempdir().unwrap();
    let (first, second) = (Guest::counts("one").component(), Guest::counts("two").component());
    assert_eq!(first.len(), second.len());
    let room_for_two = (first.len() * 2 + 1).to_string();
    let settings = [("KABAR_LIMITS__COMPONENT_BYTES_PER_ORGANIZATION", room_for_two.as_str())];
    let server = server_with(&room.path().join("hooks"), &settings).await;
    let (tenant, neighbour) = (server.tenant().await, server.tenant().await);
    let plugin = Plugin::make(&tenant, json!({})).await;
    let running = text(&plugin.upload(first.clone()).await.is(201).data()["id"]);
    plugin.activate_version(&running).await;
    let spare = text(&plugin.upload(second.clone()).await.is(201).data()["id"]);
    // A version that does not run makes room for a newer one of its plugin, and of no other.
    let newest = text(&plugin.upload(second.clone()).await.is(201).data()["id"]);
    let ids: Vec<_> = plugin.get("/versions").await.rows().iter().map(|row| text(&row["id"])).collect();
    assert_eq!(ids, [newest.clone(), running.clone()], "{spare} made room");
    let other = Plugin::make(&tenant, json!({})).await;
    let refused = other.upload(first.clone()).await.refused(403, "plan_limit_reached");
    assert!(refused["message"].as_str().unwrap().contains(&room_for_two), "{refused}");
    // The one that ran before is kept to return to, so there is nothing to give up.
    plugin.activate_version(&newest).await;
    plugin.upload(first.clone()).await.refused(403, "plan_limit_reached");
    Plugin::make(&neighbour, json!({})).await.upload(first.clone()).await.is(201);
    tenant.api.delete(&plugin.path("")).await.is(204);
    other.upload(first).await.is(201);
}

#[tokio::test]
async fn what_no_instance_can_have_is_the_fault_of_the_upload() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("hooks");
    let server = server_with(&folder, &[]).await;
    let tenant = server.tenant().await;
    let plugin = Plugin::make(&tenant, json!({})).await;
    for part in ["(table $large 200000 funcref)", "(memory $more 1) (memory $large 4096)"] {
        let refused = plugin.upload(Guest::with_part(part).component()).await.refused(422, "invalid_plugin");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("needs more than an instance of a hook may have"), "{part}: {message}");
    }
    // Two bytes far from each other are no image of all that lies between them.
    let sparse = "(data (i32.const 70000) \"a\") (data (i32.const 8000000) \"b\")";
    let sparse = Guest::with_memory(128, sparse).component();
    let version = text(&plugin.upload(sparse).await.is(201).data()["id"]);
    let compiled = std::fs::metadata(folder.join(format!("{version}.artefact"))).unwrap().len();
    assert!(compiled < 256 << 10, "{compiled}");
}
