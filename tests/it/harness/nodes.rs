//! Several nodes on one PostgreSQL, and one WhatsApp for all of them.

use kabar::simulator::WhatsAppSimulator;
use serde_json::Value;

use super::{Answer, Options, Tenant, TestServer, database, until_matches};

/// So many nodes on a database of their own, with further settings by the names of the environment.
pub(crate) async fn nodes<const N: usize>(settings: &[(&str, &str)]) -> [TestServer; N] {
    let url = database::postgres().await;
    let mut nodes: Vec<TestServer> = Vec::new();
    for _ in 0..N {
        let simulator = nodes.first().map(|first| first.simulator.clone());
        nodes.push(node(&url, simulator, settings).await);
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!())
}

/// One node on this database, with a WhatsApp of its own unless it is given one.
pub(crate) async fn node(
    url: &str,
    simulator: Option<WhatsAppSimulator>,
    settings: &[(&str, &str)],
) -> TestServer {
    let shape = |options: &mut Options| {
        options.node = true;
        options.simulator = simulator;
        options.set("KABAR_DATABASE_URL", url);
        // Long enough not to be lost on a busy machine, short enough to be waited for.
        options.set("KABAR_CLUSTER__LEASE_SECONDS", "5");
        for (variable, value) in settings {
            options.set(variable, value);
        }
    };
    TestServer::shaped(shape).await
}

/// The tenant at this node, once the node has heard of its key and of its number.
#[track_caller]
pub(crate) fn heard_of(node: &TestServer, tenant: &Tenant) -> impl Future<Output = Tenant> {
    let there = node.here(tenant);
    let api = there.api.clone();
    let known = |row: &Value| row["phone_number_id"] == tenant.id.as_str();
    let heard = until_matches(
        move || {
            let api = api.clone();
            async move { api.get("/v1/accounts?limit=100").await }
        },
        move |accounts| accounts.status == 200 && accounts.rows().iter().any(known),
    );
    async move {
        heard.await;
        there
    }
}

/// Returns once the tenant's node knows what is at a path.
#[track_caller]
pub(crate) fn until_known(tenant: &Tenant, path: &str) -> impl Future<Output = Answer> {
    until_matches(async move || tenant.api.get(path).await, |answer| answer.status == 200)
}
