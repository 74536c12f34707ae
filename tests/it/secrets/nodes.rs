//! Rotation on two nodes: the first that reads a new key must not be the only one.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::harness::nodes::{heard_of, node, until_known};
use crate::harness::until_matches;

struct Nodes {
    one: TestServer,
    two: TestServer,
    files: [PathBuf; 2],
    url: String,
    _folder: TempDir,
}

impl Nodes {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = database::postgres().await;
        let files = ["one", "two"].map(|name| folder.path().join(name));
        let key = new_key();
        for file in &files {
            std::fs::write(file, &key).unwrap();
        }
        let one = node(&url, None, &[(database::KEY_FILE, files[0].to_str().unwrap())]).await;
        let simulator = Some(one.simulator.clone());
        let two = node(&url, simulator, &[(database::KEY_FILE, files[1].to_str().unwrap())]).await;
        Self { one, two, files, url, _folder: folder }
    }

    /// Puts a key first in the file of a node.
    fn add_key(&self, nth: usize, key: &str) {
        let older = std::fs::read_to_string(&self.files[nth]).unwrap();
        std::fs::write(&self.files[nth], format!("{key}\n{older}")).unwrap();
    }

    /// Values under each key, by the beginnings of their texts.
    async fn keys_of_values(&self) -> std::collections::BTreeSet<String> {
        let texts = database::all_rows(&self.url).await.join("\n");
        texts.match_indices("kse1.").map(|(place, _)| texts[place..place + 22].to_owned()).collect()
    }
}

async fn keep_changing(node: &TestServer, tenant: &Tenant, name: &str, stop: &CancellationToken) {
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    let mut rounds = 0;
    while !stop.is_cancelled() {
        node.operator.patch(&path, &json!({"access_token": format!("EAAG{name}-{rounds}")})).await.is(200);
        let made = subscribe_once(tenant, &format!("{name}-{rounds}"), "https://example.com/hook").await;
        tenant.api.delete(&format!("/v1/webhook_subscriptions/{}", id_of(&made))).await.is(204);
        sends(tenant).await;
        rounds += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_rotate_together_while_they_serve() {
    let mut nodes = Nodes::start().await;
    let here = nodes.one.tenant().await;
    // Restarted with a longer file, before the other node has it: both go on.
    let old = nodes.keys_of_values().await;
    nodes.add_key(0, &new_key());
    nodes.one.restart().await;
    set_account_secrets(&nodes.one, &here).await;
    assert_eq!(nodes.keys_of_values().await, old, "the other node could not read anything else");
    let older = std::fs::read_to_string(&nodes.files[1]).unwrap();
    std::fs::write(&nodes.files[0], older).unwrap();
    let elsewhere = heard_of(&nodes.two, &nodes.one.tenant().await).await;
    let there = heard_of(&nodes.two, &here).await;
    let stop = CancellationToken::new();
    let rotations = async {
        for _ in 0..2 {
            let before = nodes.keys_of_values().await;
            let key = new_key();
            nodes.add_key(0, &key);
            // The other node gets it while the rotation waits for it already.
            let rotating = rotate(&nodes.one);
            let extending = async {
                tokio::task::yield_now().await;
                assert_eq!(
                    nodes.keys_of_values().await,
                    before,
                    "nothing is written before every node can read"
                );
                nodes.add_key(1, &key);
            };
            let (rotated, ()) = tokio::join!(rotating, extending);
            let newest = format!("kse1.{}.", text(&rotated["key_id"]));
            assert_eq!(nodes.keys_of_values().await, [newest].into());
        }
        stop.cancel();
    };
    tokio::join!(
        keep_changing(&nodes.one, &here, "one", &stop),
        keep_changing(&nodes.two, &elsewhere, "two", &stop),
        rotations
    );
    nodes.one.operator.post("/admin/v1/secrets/rotate", &json!({})).await.refused(409, "secret_key_conflict");
    let made = subscribe_once(&there, "after", "https://example.com/hook").await;
    until_known(&here, &format!("/v1/webhook_subscriptions/{}", id_of(&made))).await;
    // The newest key opens everything.
    for (nth, file) in nodes.files.iter().enumerate() {
        let newest = std::fs::read_to_string(file).unwrap().lines().next().unwrap().to_owned();
        std::fs::write(file, newest).unwrap();
        if nth == 0 { nodes.one.restart().await } else { nodes.two.restart().await }
    }
    until_matches(async || here.get("conversations").await.status, |status| *status == 200).await;
    sends(&here).await;
    sends(&elsewhere).await;
}
