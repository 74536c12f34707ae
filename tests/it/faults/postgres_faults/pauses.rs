//! A node that is paused (SIGSTOP) for longer than its lease, in the middle of its work.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::load::until_answered;
use crate::harness::postgres::Postgres;
use crate::harness::{Child, Client, OPERATOR_TOKEN, text, until, until_matches};

const LEASE_SECONDS: &str = "2";
const ACCOUNTS: u64 = 60;
/// Time for a request to be written to a socket.
const ASK_TIME: Duration = Duration::from_millis(5);

async fn start_node(database: &Postgres, folder: &std::path::Path, at: SocketAddr) -> Child {
    let address = format!("http://{at}");
    let settings =
        [("KABAR_CLUSTER__ADDRESS", address.as_str()), ("KABAR_CLUSTER__LEASE_SECONDS", LEASE_SECONDS)];
    Child::start_at(at, folder, &database.url(), "http://127.0.0.1:9", &settings).await
}

/// Connects the numbers to a tenant; gives its key and their ids.
async fn connect_accounts(process: &Client) -> (String, Vec<String>) {
    let operator = process.with_token(OPERATOR_TOKEN);
    let tier = json!({"name": "O", "tier": "enterprise", "write_per_minute": 1_000_000, "read_per_minute": 1_000_000});
    let organisation = text(&operator.post("/admin/v1/organizations", &tier).await.is(201).data()["id"]);
    let below = |tail: &str| format!("/admin/v1/organizations/{organisation}/{tail}");
    let key = operator.post(&below("api_keys"), &json!({"label": "k"})).await.is(201).data();
    let mut ids = Vec::new();
    for nth in 0..ACCOUNTS {
        let id = format!("{}", 100_200_300_500_000 + nth);
        let phone = format!("+1202555{nth:04}");
        let body = json!({"phone_number_id": id, "phone_number": phone, "access_token": "EAAG"});
        operator.post(&below("accounts"), &body).await.is(201);
        ids.push(id);
    }
    (text(&key["key"]), ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_paused_node_was_loading_is_never_served_stale() {
    let database = Postgres::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let one = start_node(&database, folder.path(), Child::lasting_address()).await;
    let two = start_node(&database, folder.path(), Child::lasting_address()).await;
    let (key, ids) = connect_accounts(&one.anyone).await;
    let (here, there) = (one.anyone.with_token(&key), two.anyone.with_token(&key));
    until_matches(
        async || there.get("/v1/accounts?limit=100").await,
        |known| known.status == 200 && known.rows().len() == ids.len(),
    )
    .await;

    // It loads them all, and is stopped in the middle of that.
    let loading = join_all(ids.iter().map(|id| {
        let (here, path) = (here.clone(), format!("/v1/{id}/contacts"));
        async move { here.get(&path).await }
    }));
    let pausing = async {
        until(async || {
            let metrics = one.anyone.get("/metrics").await;
            let name = b"kabar_account_activations_total ";
            metrics.body.windows(40).any(|part| part.starts_with(name) && part[32] != b'0')
        })
        .await;
        one.pause();
        // The other one answers for all of them once the lease is over; what it had handed on does not hang.
        let writes = ids.iter().map(|id| {
            let (there, path) = (there.clone(), format!("/v1/{id}/contacts"));
            let contact = json!({"phone_number": "+6281200000001"});
            async move { until_answered(&[201, 409], async || there.post(&path, &contact).await).await }
        });
        join_all(writes).await;
        one.resume();
    };
    tokio::join!(loading, pausing);
    for _ in 0..5 {
        for id in &ids {
            let path = format!("/v1/{id}/contacts");
            let page = until_answered(&[200], async || here.get(&path).await).await;
            assert_eq!(page.rows().len(), 1, "{id}");
        }
    }
}

/// A server without a cluster that was paused until another one took its place lets no revoked key in, and shows no
/// subscription that the other one has removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_lone_server_knows_nothing_of_keys_and_subscriptions_after_its_lease() {
    let database = Postgres::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [("KABAR_CLUSTER__ALONE_LEASE_SECONDS", "5")];
    let start = async || {
        let at = Child::lasting_address();
        Child::start_at(at, folder.path(), &database.url(), "http://127.0.0.1:9", &settings).await
    };
    let one = start().await;
    let (key, _) = connect_accounts(&one.anyone).await;
    let subscription = json!({"url": "https://example.org/hook", "events": ["message.created"]});
    let path = "/v1/webhook_subscriptions";
    let made = one.anyone.with_token(&key).post(path, &subscription).await.is(201).data();
    let path = format!("{path}/{}", text(&made["id"]));
    one.anyone.with_token(&key).get(&path).await.is(200);
    one.pause();

    // Its session ends as it would if its machine were cut off; its lease goes on.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    sqlx::query(end).execute(&mut database.connect().await).await.unwrap();
    let two = start().await;
    two.anyone.with_token(&key).delete(&path).await;
    two.anyone.with_token(&key).get(&path).await.is(404);
    // It is asked before it goes on, so that it has looked at nothing else yet.
    let old = one.anyone.with_token(&key);
    let asked = async {
        let answer = old.get(&path).await;
        assert_ne!(answer.status, 200, "it shows what is not there any more");
    };
    let resumed = async {
        tokio::time::sleep(ASK_TIME).await;
        one.resume();
    };
    tokio::join!(asked, resumed);
}
