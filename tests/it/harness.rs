//! The stage of the end-to-end tests: the real server on a free port, a real database of its own, and
//! the simulator as WhatsApp.
//!
//! Invariants: nothing reaches behind the HTTP surface but to start, stop and look at counters;
//! waiting is for an event or a condition and has the bound of `wait`, never for a time.

mod business;
mod child;
mod client;
pub(crate) mod database;
mod delays;
pub(crate) mod graph_stub;
mod meta_webhook;
pub(crate) mod nodes;
pub(crate) mod postgres;
pub(crate) mod postgres_proxy;
mod receiver;
pub(crate) mod redis;
mod response;
pub(crate) mod restarts;
mod shapes;
mod spans;
mod stream;
mod tenant;
mod wait;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kabar::server::{RunningServer, ServingSecrets};
use kabar::simulator::{SimulatedNumber, SimulatorOptions, SimulatorScript, StatusDelays, WhatsAppSimulator};
use kabar_core::clock::Clock;
use kabar_core::config::{ServerMode, SettingSources, Settings};
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub(crate) use business::Business;
pub(crate) use child::Child;
pub(crate) use client::{Client, Raw};
pub(crate) use meta_webhook::{
    InboundWebhook, fresh_wamid, from, incoming, post_bytes, status_of, text_from,
};
pub(crate) use receiver::{Call, Receiver, Turn};
pub(crate) use response::{Answer, keys_of};
pub(crate) use shapes::{check_object, is_id, is_timestamp};
pub(crate) use spans::{RecordedSpan, SpanRecorder};
pub(crate) use stream::{Frame, Stream};
pub(crate) use tenant::Tenant;
pub(crate) use wait::{patiently, until, until_advancing, until_matches, until_some};

/// Opens the operator API.
pub(crate) const OPERATOR_TOKEN: &str = "kop_operator_of_the_tests";
/// Signs the webhooks.
pub(crate) const APP_SECRET: &str = "app_secret_of_the_tests";
/// Answers the handshake.
pub(crate) const VERIFY_TOKEN: &str = "verify_token_of_the_tests";
/// Where a manual clock begins: 2026-06-19T11:00:00.000Z.
pub(crate) const NOON: i64 = 1_781_866_800;
/// How long a page may be served after it was made, unless a commit ends it: so much must pass before what
/// happened without a commit, as the purge does, is surely seen.
pub(crate) const PAGE_LIFE: Duration = Duration::from_secs(8);

/// What a stage may be given instead of its defaults.
pub(crate) struct Options {
    /// The server's time and the simulator's.
    pub(crate) clock: Arc<Clock>,
    /// How fast the simulator reports statuses; an hour each unless asked otherwise, so that a test
    /// reports its own.
    pub(crate) status_delay: StatusDelays,
    /// Whether it is a node beside others; it is alone on its database unless asked otherwise.
    pub(crate) node: bool,
    /// The WhatsApp of another stage, to be shared.
    pub(crate) simulator: Option<WhatsAppSimulator>,
    /// Time after which the simulator reviews a template; never unless asked otherwise.
    pub(crate) review_delay: Option<Duration>,
    /// Whether the simulator tells the properties of numbers.
    pub(crate) number_profiles: bool,
    /// What the simulator plays.
    pub(crate) script: Option<SimulatorScript>,
    /// Another WhatsApp than the simulated one.
    pub(crate) graph: Option<String>,
    environment: HashMap<String, String>,
}

impl Options {
    /// Gives a setting by its name in the environment.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }
}

/// See the module.
pub(crate) struct TestServer {
    /// Nobody's client.
    pub(crate) anyone: Client,
    /// The operator's client.
    pub(crate) operator: Client,
    /// The simulated WhatsApp.
    pub(crate) simulator: WhatsAppSimulator,
    /// The server's time.
    pub(crate) clock: Arc<Clock>,
    address: SocketAddr,
    graph: Option<String>,
    settings: Settings,
    running: Option<RunningServer>,
    numbers: AtomicU64,
    _folder: TempDir,
    _stop: DropGuard,
}

impl TestServer {
    /// A server by the machine's clock.
    pub(crate) async fn start() -> Self {
        Self::shaped(|_| {}).await
    }

    /// A server whose time stands at [`NOON`] until it is moved on.
    pub(crate) async fn manual() -> Self {
        Self::shaped(|options| options.clock = manual_clock()).await
    }

    /// A server with other options.
    pub(crate) async fn shaped(shape: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let slow = Duration::from_hours(1);
        let mut options = Options {
            clock: Arc::new(Clock::system_clock()),
            status_delay: StatusDelays { sent: slow, delivered: slow, read: slow },
            node: false,
            simulator: None,
            review_delay: None,
            number_profiles: false,
            script: None,
            graph: None,
            environment: HashMap::new(),
        };
        options.set("KABAR_OPERATOR_TOKEN", OPERATOR_TOKEN);
        options.set("KABAR_WHATSAPP__APP_SECRET", APP_SECRET);
        options.set("KABAR_WHATSAPP__VERIFY_TOKEN", VERIFY_TOKEN);
        shape(&mut options);
        if !options.environment.contains_key("KABAR_DATABASE_URL") {
            options.set("KABAR_DATABASE_URL", &database::chosen(folder.path()).await);
        }
        let is_shared = options.environment["KABAR_DATABASE_URL"].starts_with("postgres");
        if is_shared && !options.environment.contains_key(database::KEY_FILE) {
            options.set(database::KEY_FILE, database::TEST_KEY);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        if options.node {
            options.set("KABAR_CLUSTER__ADDRESS", &format!("http://{address}"));
        }
        if !options.environment.contains_key("KABAR_REDIS_URL")
            && let Some(url) = redis::chosen()
        {
            options.set("KABAR_REDIS_URL", &url);
        }
        if let Some(delays) = delays::chosen() {
            options.set(delays::VARIABLE, &delays);
        }
        let sources =
            SettingSources { environment: Some(options.environment.clone()), ..SettingSources::default() };
        let settings = Settings::load(ServerMode::Serve, &sources).unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let simulator = match &options.simulator {
            Some(shared) => shared.clone(),
            None => simulate(address, &options, &tasks, &stop).await,
        };
        let anyone = Client::new(&format!("http://{address}"));
        let mut stage = Self {
            operator: anyone.with_token(OPERATOR_TOKEN),
            anyone,
            simulator,
            clock: options.clock,
            address,
            graph: options.graph,
            settings,
            running: None,
            numbers: AtomicU64::new(1),
            _folder: folder,
            _stop: stop.drop_guard(),
        };
        stage.run(listener).await;
        stage
    }

    async fn run(&mut self, listener: TcpListener) {
        let secrets = ServingSecrets {
            operator_token: Secret::new(OPERATOR_TOKEN),
            app_secrets: vec![Secret::new(APP_SECRET)],
            verify_token: Secret::new(VERIFY_TOKEN),
            sandbox_keys: None,
        };
        let graph = self.graph.clone().unwrap_or_else(|| self.simulator.base_url());
        let started = RunningServer::start(&self.settings, secrets, &graph, listener, self.clock.clone());
        self.running = Some(Box::pin(started).await.unwrap());
    }

    /// The same tenant, met at this server.
    pub(crate) fn here(&self, tenant: &Tenant) -> Tenant {
        Tenant { api: self.anyone.with_token(&tenant.key), ..tenant.clone() }
    }

    /// The address of its database.
    pub(crate) fn database_url(&self) -> String {
        self.settings.database_url.reveal_url()
    }

    /// The server itself, for what only its counters tell.
    pub(crate) fn server(&self) -> &RunningServer {
        self.running.as_ref().expect("the server runs")
    }

    /// The value of a metric, by its name and, if it has any, its labels.
    pub(crate) async fn metric(&self, name: &str) -> i64 {
        let answer = self.anyone.get("/metrics").await.is(200);
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {body}")).parse().unwrap()
    }

    /// Moves a standing clock on, unless a call to WhatsApp is under way: that counts only for the time to
    /// settle, which a test's clock can run through while the call takes a moment of the machine's.
    pub(crate) async fn advance_between_calls(&self, step: Duration) {
        if self.metric("kabar_sends_under_way").await == 0 {
            self.clock.advance_manual(step);
        }
    }

    /// SQL statements run while this is done. The purge, which looks around at the start, has done so; it
    /// does again ten minutes later. What was sent before is recorded, and its sender has looked for more.
    pub(crate) async fn statements_of(&self, mut what: impl AsyncFnMut()) -> u64 {
        let (store, metrics) = (&self.server().store, &self.server().metrics);
        until(async || {
            metrics.purge_rounds.get() > 0 && self.metric("kabar_sending_conversations").await == 0
        })
        .await;
        let before = store.statements_executed();
        what().await;
        store.statements_executed() - before
    }

    /// Stops in order.
    pub(crate) async fn stop(&mut self) {
        let server = self.running.take().expect("the server runs");
        patiently(Box::pin(server.stop())).await.unwrap();
    }

    /// Stops in order and starts again on the same file, at the same address.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts on the same file, at the same address.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.run(listener).await;
    }

    /// Makes an organisation; gives its id.
    pub(crate) async fn organisation(&self, body: &Value) -> String {
        let made = self.operator.post("/admin/v1/organizations", body).await.is(201).data();
        text(&made["id"])
    }

    /// Makes a key; gives its secret.
    pub(crate) async fn key(&self, organisation: &str) -> String {
        let path = format!("/admin/v1/organizations/{organisation}/api_keys");
        text(&self.operator.post(&path, &json!({"label": "test"})).await.is(201).data()["key"])
    }

    /// Makes a user; gives the answer's data.
    pub(crate) async fn user(&self, organisation: &str, name: &str) -> Value {
        let path = format!("/admin/v1/organizations/{organisation}/users");
        let body = json!({"name": name, "email": format!("{}@example.com", name.to_lowercase())});
        self.operator.post(&path, &body).await.is(201).data()
    }

    /// Connects a fresh number, known to the simulator too; gives Meta's id and the number.
    pub(crate) async fn account(&self, organisation: &str) -> (String, String) {
        self.account_with(organisation, json!({})).await
    }

    /// Connects a fresh number with further members in the body.
    pub(crate) async fn account_with(&self, organisation: &str, more: Value) -> (String, String) {
        let nth = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (id, phone) = (format!("{}", 100_200_300_400_000 + nth), format!("+1202555{nth:04}"));
        self.simulator.add_number(SimulatedNumber {
            phone_number_id: PhoneNumberId::parse(&id).unwrap(),
            phone: Phone::parse(&phone).unwrap(),
            waba_id: "102290129340398".into(),
        });
        let mut body = json!({"phone_number_id": id, "phone_number": phone, "name": "Shop",
            "access_token": "EAAGtests"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let path = format!("/admin/v1/organizations/{organisation}/accounts");
        let looks = self.server().metrics.profile_looks.get();
        self.operator.post(&path, &body).await.is(201);
        if self.graph.is_some() {
            // The look at a new number is over, so that a test can count those after it.
            until(async || self.server().metrics.profile_looks.get() > looks).await;
        }
        (id, phone)
    }

    /// An organisation with budgets that no test exhausts, a key and a number.
    pub(crate) async fn tenant(&self) -> Tenant {
        let budgets = json!({"name": "Warung", "tier": "enterprise",
            "write_per_minute": 1_000_000, "read_per_minute": 1_000_000});
        self.tenant_of(&budgets).await
    }

    /// The same with an organisation of this shape.
    pub(crate) async fn tenant_of(&self, organisation: &Value) -> Tenant {
        let organisation = self.organisation(organisation).await;
        let key = self.key(&organisation).await;
        let (id, phone) = self.account(&organisation).await;
        self.tenant_at(&organisation, &key, &id, &phone)
    }

    /// A tenant's further account.
    pub(crate) async fn second_account(&self, tenant: &Tenant) -> Tenant {
        let (id, phone) = self.account(&tenant.organisation).await;
        self.tenant_at(&tenant.organisation, &tenant.key, &id, &phone)
    }

    /// Sets a number's pace. A standing clock lets a twentieth of it leave, and no more.
    pub(crate) async fn set_pace(&self, tenant: &Tenant, per_second: u32) {
        let path = format!("/admin/v1/accounts/{}", tenant.id);
        self.operator.patch(&path, &json!({"messages_per_second": per_second})).await.is(200);
    }

    fn tenant_at(&self, organisation: &str, key: &str, id: &str, phone: &str) -> Tenant {
        Tenant {
            organisation: organisation.to_owned(),
            key: key.to_owned(),
            id: id.to_owned(),
            phone: phone.to_owned(),
            api: self.anyone.with_token(key),
            clock: self.clock.clone(),
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes this stage's address for a conversation in bare bytes.
    pub(crate) fn raw(&self) -> Raw {
        Raw::new(self.address)
    }
}

/// A clock that stands at [`NOON`].
pub(crate) fn manual_clock() -> Arc<Clock> {
    Arc::new(Clock::manual_clock(Timestamp::from_seconds(NOON)))
}

async fn simulate(
    address: SocketAddr,
    options: &Options,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> WhatsAppSimulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhooks = format!("http://{address}/webhooks/whatsapp");
    let mut simulated = SimulatorOptions::new(&webhooks, Secret::new(APP_SECRET));
    simulated.status_delay = options.status_delay;
    if let Some(script) = &options.script {
        simulated = simulated.with_script(script.clone());
    }
    // What a look at a number tells is an event, which only a test of it wants.
    simulated.number_profiles = options.number_profiles;
    // So is every template that it has from the beginning.
    simulated.sample_templates = false;
    simulated.review_delay = options.review_delay;
    simulated.webhook_retry.first = Duration::from_millis(5);
    simulated.clock = options.clock.clone();
    WhatsAppSimulator::start(listener, simulated, tasks, stop.clone()).unwrap()
}

/// A JSON text as a text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
