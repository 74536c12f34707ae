//! Several nodes on one PostgreSQL, and one WhatsApp for all of them.

use kabar::simulator::WhatsAppSimulator;
use serde_json::Value;

use super::{Options, Tenant, TestServer, a_moment, database, patiently};

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
pub(crate) async fn heard_of(node: &TestServer, tenant: &Tenant) -> Tenant {
    let there = node.here(tenant);
    patiently(async {
        loop {
            let accounts = there.api.get("/v1/accounts?limit=100").await;
            let known = |row: &Value| row["phone_number_id"] == tenant.id.as_str();
            if accounts.status == 200 && accounts.rows().iter().any(known) {
                return;
            }
            a_moment().await;
        }
    })
    .await;
    there
}

/// Returns once the tenant's node knows what is at a path.
pub(crate) async fn until_known(tenant: &Tenant, path: &str) {
    patiently(async {
        while tenant.api.get(path).await.status != 200 {
            a_moment().await;
        }
    })
    .await;
}
