//! A server that dies again and again: what outlives each of its lives, and the WhatsApp around it.

use std::net::SocketAddr;
use std::time::Duration;

use kabar::simulator::{
    NetworkFaults, SimulatedNumber, SimulatorOptions, StatusDelays, WebhookRetry, WhatsAppSimulator,
};
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::phone::Phone;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{APP_SECRET, Business, Child, Client, database};

/// Settings of a server, by the names of its environment.
pub(crate) type Environment = &'static [(&'static str, &'static str)];

/// One server's database, address and tenant.
pub(crate) struct Lives {
    folder: TempDir,
    database_url: String,
    address: SocketAddr,
    graph: String,
    settings: Environment,
    pub(crate) business: Business,
}

impl Lives {
    /// The first life, at this address and with this WhatsApp.
    pub(crate) async fn begin(address: SocketAddr, graph: &str, settings: Environment) -> (Self, Child) {
        let folder = tempfile::tempdir().unwrap();
        let database_url = database::chosen(folder.path()).await;
        let child = Child::start_at(address, folder.path(), &database_url, graph, settings).await;
        let business = Business::open(&child.anyone).await;
        (Self { folder, database_url, address, graph: graph.to_owned(), settings, business }, child)
    }

    /// The next one.
    pub(crate) async fn again(&self) -> Child {
        let (folder, database_url) = (self.folder.path(), &self.database_url);
        Child::start_at(self.address, folder, database_url, &self.graph, self.settings).await
    }

    /// The address of its database.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The tenant's client of a life.
    pub(crate) fn client(&self, child: &Child) -> Client {
        child.anyone.with_token(&self.business.key)
    }
}

/// A WhatsApp that causes no network faults, and tells what has piled up many at a time: told one by one, the news of
/// what it took could come later than a server waits for it, and the message would rightly be sent again.
pub(crate) fn calm() -> NetworkFaults {
    NetworkFaults { batch_items_max: 50, ..NetworkFaults::default() }
}

/// A WhatsApp that has the tenant's number, and posts what it has to tell until somebody is at home. It ends
/// with the guard.
pub(crate) async fn patient_whatsapp(server: SocketAddr) -> (WhatsAppSimulator, DropGuard) {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let webhooks = format!("http://{server}/webhooks/whatsapp");
    let mut options = SimulatorOptions::new(&webhooks, Secret::new(APP_SECRET));
    options.status_delay = StatusDelays::NONE;
    options.faults = calm();
    let (first, longest) = (Duration::from_millis(10), Duration::from_millis(50));
    options.webhook_retry = WebhookRetry { first, longest, attempts: 100_000 };
    options.numbers = vec![SimulatedNumber {
        phone_number_id: PhoneNumberId::parse("100200300400999").unwrap(),
        phone: Phone::parse("+12025550999").unwrap(),
        waba_id: "102290129340398".into(),
    }];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (WhatsAppSimulator::start(listener, options, &tasks, stop.clone()).unwrap(), stop.drop_guard())
}

/// Plays so many stages beside each other, to their ends.
pub(crate) async fn beside<F>(stages: usize, play: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut all = JoinSet::new();
    for nth in 0..stages {
        all.spawn(play(nth));
    }
    all.join_all().await;
}
