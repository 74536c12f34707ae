//! A tenant with one account over a real store in a temporary folder, and a clock of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kabar_core::clock::Clock;
use kabar_core::domain::account::{Account, PhoneNumberId, Secret};
use kabar_core::domain::audit::AuditOrigin;
use kabar_core::domain::command::{AccountCommand, CommandReply, ConversationPatch};
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::etag;
use kabar_core::domain::event::Event;
use kabar_core::domain::identity::Party;
use kabar_core::domain::inbound::{InboundFact, InboundItem, InboundMessage, ItemOwner};
use kabar_core::domain::message::{Direction, MessageKind};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::organisation::PriceTier;
use kabar_core::domain::page::ConversationQuery;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use kabar_core::encryption::KeySource;
use kabar_core::ids::{ConversationId, OrganisationId};
use kabar_core::meta::graph::GraphClient;
use kabar_core::metrics::Metrics;
use kabar_core::ports::EventSink;
use kabar_core::redis::RedisCache;
use kabar_core::store::{Store, StoreOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::{AccountEntry, AccountHandle, SenderParts};
use crate::accounts::{AccountRegistry, AccountRegistryParts};
use crate::cluster::{Cluster, ClusterOptions};
use crate::context::AccountRegistryOptions;
use crate::idempotency::{IdempotencyKeys, IdempotencyParts};
use crate::tenants::{AccountConnection, NewAccount, NewOrganisation, TenantDirectory};
use crate::view::{CachedResponse, PageKind, QueryResult, ReadQuery, RenderRows, RenderedPage, ResponseKey};

/// Renders threads as `id@updated_at:unread;`, and counts how often it is asked to.
#[derive(Default)]
struct Plain(Arc<AtomicU64>);

impl RenderRows for Plain {
    fn render(&self, _account: &Account, _question: &ReadQuery, answer: &QueryResult) -> RenderedPage {
        self.0.fetch_add(1, Ordering::Relaxed);
        let (text, etag) = match answer {
            QueryResult::Conversations(page) => {
                let rows = page.rows.iter();
                let rows =
                    rows.map(|row| format!("{}@{}:{};", row.id, row.updated_at.millis(), row.unread_count));
                (rows.collect::<String>(), etag::of_page(page))
            }
            QueryResult::Conversation(row) => (row.id.to_string(), etag::of_row(&**row)),
            QueryResult::Messages(page) => (format!("{} messages", page.rows.len()), etag::of_page(page)),
            QueryResult::Message(row) => (row.status.as_str().to_owned(), etag::of_message(row)),
            QueryResult::Contacts(page) => (format!("{} contacts", page.rows.len()), etag::of_page(page)),
            QueryResult::Contact(row) => (row.id.to_string(), etag::of_row(&**row)),
            QueryResult::Templates(page) => (format!("{} templates", page.rows.len()), etag::of_page(page)),
            QueryResult::Template(row) => (row.id.to_string(), etag::of_row(&**row)),
            QueryResult::Events(page) => {
                (format!("{} events", page.events.len()), page.last_sequence.to_string())
            }
        };
        RenderedPage {
            etag: Bytes::from(etag),
            head: Bytes::from(text),
            rows: answer.count_rows(),
            reach: answer.log_reach(),
            compressed: OnceLock::new(),
        }
    }

    fn event(&self, _account: &Account, event: &Event) -> Bytes {
        Bytes::from(event.sequence.to_string())
    }
}

pub(crate) struct AccountFixture {
    pub(crate) accounts: AccountRegistry,
    pub(crate) idempotency: IdempotencyKeys,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) entry: Arc<AccountEntry>,
    pub(crate) organisation: OrganisationId,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// Pages rendered so far.
    pub(crate) renders: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
    _folder: tempfile::TempDir,
}

impl AccountFixture {
    pub(crate) async fn open(options: AccountRegistryOptions) -> Self {
        Self::open_with(options, Arc::new(kabar_core::ports::ClosedSink)).await
    }

    /// Brings events to this sink.
    pub(crate) async fn open_with(options: AccountRegistryOptions, sink: Arc<dyn EventSink>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("kabar.db").display());
        let keys = KeySource::Own(folder.path().join("kabar.db.key"));
        let store = Store::open(&url, StoreOptions::with_keys(keys)).await.unwrap();
        let clock = Arc::new(Clock::manual_clock(Timestamp::from_millis(1_780_000_000_000)));
        let metrics = Arc::new(Metrics::default());
        let memory = RedisCache::none(clock.clone(), metrics.clone());
        let directory =
            TenantDirectory::load_directory(store.clone(), memory.clone(), clock.clone()).await.unwrap();
        let new = NewOrganisation {
            name: "o".into(),
            tier: PriceTier::Pro,
            limits: PriceTier::Pro.default_limits(),
            sandbox: true,
        };
        let organisation = directory.create_organisation(new, &AuditOrigin::SYSTEM).await.unwrap().id;
        let account = NewAccount {
            phone_number_id: PhoneNumberId::parse("106540352242922").unwrap(),
            phone: Phone::parse("+15550100922").unwrap(),
            name: None,
            waba_id: None,
            access_token: Secret::new("t"),
            app_secret: None,
        };
        let connected = directory.connect_account(organisation, account, &AuditOrigin::SYSTEM).await.unwrap();
        let AccountConnection::Connected(entry) = connected else { panic!("{connected:?}") };
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let renders = Arc::new(AtomicU64::new(0));
        let alone = ClusterOptions {
            address: None,
            lease: Duration::from_secs(6),
            alone_lease: Duration::from_mins(1),
        };
        let cluster = Cluster::join_cluster(store.clone(), alone, &clock).await.unwrap();
        let parts = AccountRegistryParts {
            store: store.clone(),
            directory,
            memory,
            cluster: cluster.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            // Nobody listens there; nothing is sent in these tests.
            graph: GraphClient::new("http://127.0.0.1:9", "v23.0").unwrap(),
            render: Arc::new(Plain(renders.clone())),
            sink,
            options,
        };
        let accounts = AccountRegistry::start(parts, tasks.clone(), stopping.clone()).await.unwrap();
        let idempotency = IdempotencyKeys::new(IdempotencyParts {
            store: store.clone(),
            cluster,
            clock: clock.clone(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
        });
        Self {
            accounts,
            idempotency,
            store,
            clock,
            entry,
            organisation,
            tasks,
            stopping,
            renders,
            metrics,
            _folder: folder,
        }
    }

    /// The dependencies of the account's sender.
    pub(crate) async fn sender_parts(&self) -> SenderParts {
        let accounts = &self.accounts.0;
        SenderParts {
            context: accounts.context.clone(),
            account: AccountHandle::new(self.entry.clone(), Arc::new(self.accounts.clone())),
            loaded: self.accounts.load_account(&self.entry).await.unwrap(),
            graph_calls: accounts.graph_calls.clone(),
        }
    }

    pub(crate) async fn run(&self, command: AccountCommand) -> CommandReply {
        self.accounts.execute_command(&self.entry, command, None).await.unwrap().unwrap()
    }

    /// The contact's `n`th message comes in.
    pub(crate) async fn ingest(&self, contact: u32, n: u32) {
        assert_eq!(self.run(AccountCommand::Ingest(vec![inbound(contact, n)])).await, CommandReply::Ingested);
    }

    pub(crate) async fn ask(&self, question: &ReadQuery) -> CachedResponse {
        let list = matches!(question, ReadQuery::Conversations(_));
        let request = list.then_some(LIST_KEY.request);
        self.accounts.read_response(&self.entry, question, request).await.unwrap()
    }

    pub(crate) async fn first_thread(&self) -> ConversationId {
        let text = text_of(&self.ask(&every_thread()).await);
        ConversationId::parse(text.split('@').next().unwrap()).unwrap()
    }

    /// Returns when so many long polls wait on the account.
    pub(crate) async fn until_waiting(&self, polls: usize) {
        while self.accounts.loaded_accounts().first().is_none_or(|report| report.waiting_polls < polls) {
            tokio::task::yield_now().await;
        }
    }

    /// Returns when the metrics say this.
    pub(crate) async fn until_metric(&self, line: &str) {
        while !self.says(line) {
            tokio::task::yield_now().await;
        }
    }

    /// SQL statements run while this is done. The purge, which looks around at the start, has done so; it
    /// does again ten minutes later.
    pub(crate) async fn statements_of(&self, mut what: impl AsyncFnMut()) -> u64 {
        while self.metrics.purge_rounds.get() == 0 {
            tokio::task::yield_now().await;
        }
        let before = self.store.statements_executed();
        what().await;
        self.store.statements_executed() - before
    }

    /// Whether the metrics say this.
    pub(crate) fn says(&self, line: &str) -> bool {
        self.metrics.encode().contains(line)
    }

    /// Lets so much time pass and the sweeper, which wakes every 8 s, look around.
    pub(crate) async fn sweep_after(&self, time: Duration) {
        self.clock.advance_manual(time);
        for _ in 0..20 {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            self.clock.advance_manual(Duration::from_secs(8));
        }
    }
}

pub(crate) fn inbound(contact: u32, n: u32) -> InboundItem {
    let author = Party {
        name: Some("Rani".into()),
        ..Party::of_phone(Phone::parse(&format!("+6281200{contact:06}")).unwrap())
    };
    let message = InboundMessage {
        wamid: format!("wamid.{contact}.{n}").into(),
        owner: ItemOwner::Person(author),
        direction: Direction::Inbound,
        source: MessageSource::Inbound,
        standby: false,
        at: Timestamp::from_millis(1_780_000_000_000),
        past_status: None,
        kind: MessageKind::Text,
        placeholder: false,
        content: "hi".into(),
        payload: "{}".into(),
        context: None,
        referral: None,
        reaction: None,
        identity_change: None,
        shared_number: None,
    };
    InboundItem { fact: InboundFact::Message(Box::new(message)), raw: None }
}

pub(crate) fn resolve(id: ConversationId, status: ConversationStatus) -> AccountCommand {
    AccountCommand::PatchConversation(ConversationPatch { id, status: Some(status), assignee: None })
}

/// Key of the list of conversations that [`every_thread`] reads.
pub(crate) const LIST_KEY: ResponseKey<'static> =
    ResponseKey { kind: PageKind::Conversations, request: "every conversation" };

pub(crate) fn every_thread() -> ReadQuery {
    ReadQuery::Conversations(ConversationQuery::default())
}

pub(crate) fn text_of(asked: &CachedResponse) -> String {
    String::from_utf8(asked.page.as_ref().unwrap().head.to_vec()).unwrap()
}
