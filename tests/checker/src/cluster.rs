//! The cluster under test: nodes of kabar, their PostgreSQL and Redis, and those whom kabar calls, with a proxy
//! between any two of them.
//!
//! Invariant: no process reaches another but by a link of [`Links`], so each directed pair can be cut by itself.

pub mod links;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::graph_stub::GraphStub;
use crate::kabar_server::{KabarServer, StartOptions};
use crate::os_process;
use crate::postgres_server::PostgresServer;
use crate::recorder::Recorder;
use crate::redis_server::RedisServer;
use crate::tcp_proxy::{FindLink, TcpProxy};
use crate::webhook_receiver::WebhookReceiver;
use crate::whatsapp_client::WhatsAppClient;
use links::{Links, Peer};

/// What is run.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The binary.
    pub kabar: PathBuf,
    /// Processes of kabar.
    pub nodes: usize,
    /// SQLite instead of PostgreSQL and Redis; one node.
    pub sqlite: bool,
    /// Servers without `cluster.address`: one runs at a time.
    pub lone: bool,
    /// Whether PostgreSQL has a synchronous standby, and kabar a list of both.
    pub standby: bool,
    /// Whether each node has a clock of its own.
    pub clocks: bool,
    /// `cluster.lease_seconds`.
    pub lease_seconds: u64,
    /// `cluster.alone_lease_seconds`; 0: not set.
    pub alone_lease_seconds: u64,
    /// `whatsapp.settle_seconds`.
    pub settle_seconds: u64,
    /// Seed and most milliseconds of delays within nodes (`KABAR_TEST_DELAYS`).
    pub delays: Option<String>,
    /// Where logs and files go.
    pub folder: PathBuf,
}

/// Process ids of the nodes, for proxies that ask who calls.
pub type Pids = Arc<StdMutex<Vec<Option<u32>>>>;

/// The running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// What is run.
    pub options: ClusterOptions,
    /// The recorder of the run.
    pub recorder: Recorder,
    /// The nodes.
    pub nodes: Vec<Mutex<KabarServer>>,
    /// PostgreSQL, unless SQLite is used.
    pub postgres: Mutex<Option<PostgresServer>>,
    /// Redis, unless SQLite is used.
    pub redis: Mutex<Option<RedisServer>>,
    /// The stand-in for the Graph API.
    pub graph: GraphStub,
    /// The receiver of webhook subscriptions.
    pub receiver: WebhookReceiver,
    /// WhatsApp as a caller.
    pub whatsapp: WhatsAppClient,
    /// Links between any two of them.
    pub links: Links,
    /// Where clients reach each node.
    pub client_addresses: Vec<SocketAddr>,
    /// Addresses at which the nodes reach the Graph API.
    pub graph_addresses: Vec<SocketAddr>,
    /// Where the receiver is reached by nodes.
    pub receiver_address: SocketAddr,
    pids: Pids,
}

/// How long a start may take: migrations, and on a busy machine everything.
const START: Duration = Duration::from_secs(90);
/// Keys of the secrets, which nodes on PostgreSQL share.
const TEST_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../test.key");

impl Cluster {
    /// Starts everything; in lone mode only the first node.
    pub async fn start(options: ClusterOptions, recorder: Recorder) -> anyhow::Result<Self> {
        let pids: Pids = Arc::new(StdMutex::new(vec![None; options.nodes]));
        let links = Links::default();
        let (postgres, redis) = if options.sqlite {
            (None, None)
        } else {
            let (postgres, redis) =
                tokio::try_join!(PostgresServer::start(options.standby), RedisServer::start())?;
            (Some(postgres), Some(redis))
        };
        let (reports, queue) = tokio::sync::mpsc::unbounded_channel();
        // Behind the per-node proxies of the Graph API the caller is known by the link; here it is not needed.
        let graph = GraphStub::start(recorder.clone(), reports, Arc::new(|_| 0)).await?;
        let receiver = WebhookReceiver::start(recorder.clone(), Arc::new(|_| 0)).await?;
        let receiver_address = shared_proxy(receiver.address, Peer::Receiver, &links, &pids).await?;

        let addresses: Vec<SocketAddr> =
            (0..options.nodes).map(|_| ([127, 0, 0, 1], os_process::free_port()).into()).collect();
        let (mut nodes, mut client_addresses, mut whatsapp_addresses) = (Vec::new(), Vec::new(), Vec::new());
        let mut graph_addresses = Vec::new();
        for (nth, address) in addresses.into_iter().enumerate() {
            let node = Peer::Node(nth);
            let to_node = |from| TcpProxy::start(address, links.between(from, node));
            client_addresses.push(to_node(Peer::Client).await?.address);
            whatsapp_addresses.push(to_node(Peer::WhatsApp).await?.address);
            let inner = shared_proxy(address, node, &links, &pids).await?;
            let graph = TcpProxy::start(graph.address, links.between(node, Peer::Graph)).await?.address;
            graph_addresses.push(graph);
            let outer = Outer { postgres: postgres.as_ref(), redis: redis.as_ref(), graph };
            let settings = settings(&options, &links, nth, inner, &outer).await?;
            let (kabar, folder) = (options.kabar.clone(), options.folder.clone());
            let (name, own_clock) = (format!("node{nth}"), options.clocks);
            let start = StartOptions { kabar, address, settings, folder, name, own_clock };
            nodes.push(Mutex::new(KabarServer::new(start)));
        }
        let whatsapp = WhatsAppClient::new(recorder.clone(), whatsapp_addresses);
        whatsapp.report_statuses(queue);
        let (postgres, redis) = (Mutex::new(postgres), Mutex::new(redis));
        let cluster = Self {
            options,
            recorder,
            nodes,
            postgres,
            redis,
            graph,
            receiver,
            whatsapp,
            links,
            client_addresses,
            graph_addresses,
            receiver_address,
            pids,
        };
        // The first one makes the schema.
        let running = if cluster.options.lone { 1 } else { cluster.nodes.len() };
        for node in 0..running {
            cluster.start_node(node).await?;
        }
        Ok(cluster)
    }

    /// Starts a node and waits until it is ready.
    pub async fn start_node(&self, node: usize) -> anyhow::Result<()> {
        let mut server = self.nodes[node].lock().await;
        let started = server.start(START).await;
        self.pids.lock().unwrap()[node] = server.pid();
        started
    }

    /// Starts a node without waiting.
    pub async fn spawn_node(&self, node: usize) -> anyhow::Result<()> {
        let mut server = self.nodes[node].lock().await;
        server.spawn()?;
        self.pids.lock().unwrap()[node] = server.pid();
        Ok(())
    }

    /// A further process that claims a node's address and listens elsewhere, as a mistaken copy of its settings
    /// would; it is not ready yet.
    pub async fn spawn_twin(&self, node: usize) -> anyhow::Result<KabarServer> {
        let mut twin = self.nodes[node].lock().await.twin(([127, 0, 0, 1], os_process::free_port()).into());
        twin.spawn()?;
        Ok(twin)
    }
}

/// Those whom each node calls.
struct Outer<'a> {
    postgres: Option<&'a PostgresServer>,
    redis: Option<&'a RedisServer>,
    graph: SocketAddr,
}

async fn settings(
    options: &ClusterOptions,
    links: &Links,
    nth: usize,
    inner: SocketAddr,
    outer: &Outer<'_>,
) -> anyhow::Result<Vec<(String, String)>> {
    let node = Peer::Node(nth);
    let mut settings = vec![
        ("KABAR_WHATSAPP__BASE_URL", format!("http://{}", outer.graph)),
        ("KABAR_WHATSAPP__SETTLE_SECONDS", options.settle_seconds.to_string()),
        ("KABAR_LIMITS__IDLE_SECONDS", "3".to_owned()),
    ];
    settings.extend(options.delays.clone().map(|delays| ("KABAR_TEST_DELAYS", delays)));
    if let Some(postgres) = outer.postgres {
        let mut hosts = Vec::new();
        for address in postgres.addresses() {
            hosts.push(
                TcpProxy::start(address, links.between(node, Peer::Postgres)).await?.address.to_string(),
            );
        }
        settings.push(("KABAR_DATABASE_URL", format!("postgres://kabar@{}/kabar", hosts.join(","))));
        settings.push(("KABAR_SECRETS__KEY_FILE", TEST_KEY.to_owned()));
        if !options.lone {
            settings.push(("KABAR_CLUSTER__ADDRESS", format!("http://{inner}")));
            settings.push(("KABAR_CLUSTER__LEASE_SECONDS", options.lease_seconds.to_string()));
        } else if options.alone_lease_seconds > 0 {
            settings.push(("KABAR_CLUSTER__ALONE_LEASE_SECONDS", options.alone_lease_seconds.to_string()));
        }
    } else {
        settings
            .push(("KABAR_DATABASE_URL", format!("sqlite://{}", options.folder.join("kabar.db").display())));
    }
    if let Some(redis) = outer.redis {
        let redis = TcpProxy::start(redis.address(), links.between(node, Peer::Redis)).await?.address;
        settings.push(("KABAR_REDIS_URL", format!("redis://{redis}/")));
    }
    Ok(settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A proxy that several nodes call: it finds out which one by the caller's port.
async fn shared_proxy(
    target: SocketAddr,
    to: Peer,
    links: &Links,
    pids: &Pids,
) -> anyhow::Result<SocketAddr> {
    let (links, pids) = (links.clone(), pids.clone());
    let find: FindLink = Arc::new(move |port| {
        let pids = pids.lock().unwrap().clone();
        let caller = os_process::find_caller(port, &pids).map_or(Peer::Client, Peer::Node);
        links.between(caller, to)
    });
    Ok(TcpProxy::start_shared(target, find).await?.address)
}
