//! Conformance of a store: what every engine must do, through the public functions.
//!
//! [`store`] is the only place that names an engine: PostgreSQL if `KABAR_TEST_STORE=postgres` says
//! so (`tests/services run` provides one), else SQLite. What holds for one engine alone is in
//! `tests/sqlite.rs` and `tests/postgres.rs`; those know their own.

mod audit;
mod commits;
mod delivery_work;
mod encrypted_secrets;
mod erasure;
mod erasure_plans;
mod full_rows;
mod identifiers;
mod loaded_rows;
mod log;
mod merges;
mod message_progress;
mod nouns;
mod pages;
mod parked_items;
mod plans;
mod plugins;
mod postgres;
mod postgres_plans;
mod replays;
mod row_versions;
mod searches;
mod sqlite;
mod templates;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use tempfile::TempDir;

use super::{
    AccountActivation, AccountCommit, CommitFloor, InsertedAccount, KeyRotation, NodeEntry, RotationPhase,
    Store, StoreError, StoreOptions,
};
use crate::domain::account::{Account, AccountProfile, AccountStatus, PhoneNumberId, Secret};
use crate::domain::address::Address;
use crate::domain::contact::{Contact, ContactRef, NameOrigin};
use crate::domain::conversation::{Conversation, ConversationStatus};
use crate::domain::draft::AccountChanges;
use crate::domain::due_time::DueTime;
use crate::domain::event::{Event, EventKind};
use crate::domain::identity::{ContactKind, ContactNumber, Identity};
use crate::domain::message::{Direction, Message, MessageKind};
use crate::domain::message_details::{MessageDetails, MessageSource};
use crate::domain::organisation::User;
use crate::domain::phone::Phone;
use crate::domain::status::{MessageStatus, StatusHistory};
use crate::domain::time::Timestamp;
use crate::encryption::KeySource;
use crate::ids::{
    AccountId, ContactId, ConversationId, EventId, IdSource, MessageId, NodeId, OrganisationId, UserId, ulid,
};

/// Keeps the database of a test, and opens it again.
enum Guard {
    /// A file in a folder.
    Sqlite(TempDir),
    /// The URL of a schema that no other test uses.
    Postgres(String),
}

impl Guard {
    /// An empty database of the engine that is tested.
    async fn chosen() -> Self {
        match setting("KABAR_TEST_STORE").as_deref() {
            None | Some("sqlite") => Self::sqlite(),
            Some("postgres") => Self::postgres().await,
            Some(other) => panic!("KABAR_TEST_STORE={other}"),
        }
    }

    fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().unwrap())
    }

    async fn postgres() -> Self {
        let server = setting("KABAR_TEST_POSTGRES_URL").expect("run this under tests/services run");
        let schema = format!("t_{:032x}", rand::random::<u128>());
        let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        Self::Postgres(format!("{server}?options[search_path]={schema}"))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/a folder/kabar.db", folder.path().display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// The keys of a file beside the database, or those of all tests.
    fn options(&self) -> StoreOptions {
        StoreOptions::with_keys(match self {
            Self::Sqlite(folder) => KeySource::Own(folder.path().join("a folder/kabar.db.key")),
            Self::Postgres(_) => test_keys(),
        })
    }

    /// A store whose only server is [`NODE`].
    async fn open(&self) -> Store {
        let store = Store::open(&self.url(), self.options()).await.unwrap();
        if store.is_shared() {
            // In vain where it has joined before.
            store.insert_node(NODE, "", "", Duration::from_hours(1)).await.unwrap();
        }
        store
    }
}

/// Keys of the tests on PostgreSQL.
fn test_keys() -> KeySource {
    KeySource::Given(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/test.key").into())
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An empty store.
async fn store() -> (Store, Guard) {
    let guard = Guard::chosen().await;
    (guard.open().await, guard)
}

/// No conversation is being erased.
const NO_ERASURE: &BTreeSet<ConversationId> = &BTreeSet::new();

/// The only server there is.
const NODE: NodeId = NodeId::from_bits(1);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn due_at(ms: i64) -> DueTime {
    DueTime::from_row(at(ms))
}

fn text(text: &str) -> Arc<str> {
    text.into()
}

/// The owner of one account, and what it commits next.
struct Owner {
    number: i64,
    epoch: i64,
    revision: i64,
    sequence: i64,
    now: i64,
}

impl Owner {
    /// Connects account number `n` of the test.
    async fn of(store: &Store, n: u32) -> Self {
        let InsertedAccount::Inserted(account) = store.insert_account(account(n)).await.unwrap() else {
            panic!("{n} is connected already");
        };
        Self::again(store, account.number).await
    }

    /// Takes an account over.
    async fn again(store: &Store, number: i64) -> Self {
        let AccountActivation { epoch, revision, sequence, last_commit_at, .. } =
            store.activate_account(number, NODE, 10, CommitFloor::NONE).await.unwrap().unwrap();
        Self { number, epoch, revision, sequence, now: last_commit_at.millis().max(1000) }
    }

    /// A commit of these changes and of one event for each.
    fn cycle(&mut self, changes: AccountChanges) -> AccountCommit {
        let kinds: Vec<EventKind> = changes
            .messages
            .values()
            .map(|message| EventKind::MessageCreated((**message).clone()))
            .chain(changes.events.iter().cloned())
            .collect();
        self.now += 1;
        let events: Vec<Event> = (self.sequence + 1..)
            .zip(kinds)
            .map(|(sequence, kind)| Event {
                id: EventId::from_bits(ulid(self.now, u128::try_from(sequence).unwrap())),
                sequence,
                created_at: at(self.now),
                kind,
            })
            .collect();
        let commit = AccountCommit {
            account_number: self.number,
            epoch: self.epoch,
            revision: self.revision,
            sequence: events.last().map_or(self.sequence, |event| event.sequence),
            at: at(self.now),
            changes,
            events,
            records: Vec::new(),
            audit: Vec::new(),
        };
        self.revision += 1;
        self.sequence = commit.sequence;
        commit
    }
}

fn account(n: u32) -> Account {
    Account {
        id: AccountId::from_bits(ulid(1, n.into())),
        number: -1,
        organisation_id: OrganisationId::from_bits(1),
        phone_number_id: PhoneNumberId::parse(&format!("10000{n}")).unwrap(),
        phone: phone(9_000_000 + n),
        name: Some(text("Toko")),
        status: AccountStatus::Connected,
        status_reason: None,
        recovery: None,
        profile: AccountProfile::default(),
        access_token: Secret::new("token"),
        app_secret: Some(Secret::new("secret")),
        messages_per_second: 80,
        sandbox: true,
        created_at: at(5),
    }
}

fn phone(n: u32) -> Phone {
    Phone::parse(&format!("+62{n:08}")).unwrap()
}

fn user() -> User {
    User {
        id: UserId::from_bits(ulid(2, 1)),
        organisation_id: OrganisationId::from_bits(1),
        name: text("Sari"),
        email: Some(text("sari@example.com")),
        created_at: at(6),
    }
}

fn identity(n: u32) -> Identity {
    let number = ContactNumber { phone: phone(n), wa_id: None, since: at(1), named_at: at(1) };
    Identity { numbers: vec![number], ..Identity::default() }
}

fn contact(n: u32) -> Contact {
    Contact {
        id: ContactId::from_bits(ulid(n.into(), n.into())),
        kind: ContactKind::Person,
        identity: Arc::new(identity(n)),
        name: None,
        name_origin: NameOrigin::Profile,
        email: None,
        metadata: text("{}"),
        marketing_opted_out_at: None,
        merged_into: None,
        created_at: at(n.into()),
        updated_at: at(n.into()),
    }
}

fn conversation(n: u32, contact: &Contact) -> Conversation {
    Conversation {
        id: ConversationId::from_bits(ulid(n.into(), n.into())),
        status: ConversationStatus::Open,
        contact: ContactRef::from(contact),
        assignee: None,
        unread_count: 0,
        last_message_at: None,
        last_inbound_at: None,
        number_named_at: None,
        merged_into: None,
        created_at: at(n.into()),
        updated_at: at(n.into()),
    }
}

/// A pending message of a conversation.
fn message(n: u32, conversation: &Conversation) -> Message {
    let mut history = StatusHistory::default();
    history.keep_own(MessageStatus::Pending, at(n.into()));
    Message {
        id: MessageId::from_bits(ulid(n.into(), n.into())),
        direction: Direction::Outbound,
        status: MessageStatus::Pending,
        kind: MessageKind::Text,
        conversation_id: conversation.id,
        contact_id: conversation.contact.id,
        from: Address::Phone(phone(9_000_001)),
        to: conversation.contact.address(),
        wamid: None,
        content: text("halo"),
        payload: text(r#"{"body":"halo"}"#),
        context: None,
        details: MessageDetails::of_source(MessageSource::Api),
        error: None,
        history,
        attempts: 0,
        next_attempt_at: Some(due_at(n.into())),
        created_at: at(n.into()),
        updated_at: at(n.into()),
    }
}

/// An unread inbound message of a conversation.
fn inbound(n: u32, conversation: &Conversation) -> Message {
    let mut history = StatusHistory::default();
    history.keep_reported(MessageStatus::Received, at(n.into()));
    Message {
        direction: Direction::Inbound,
        status: MessageStatus::Received,
        wamid: Some(text(&format!("wamid.{n}"))),
        next_attempt_at: None,
        history,
        details: MessageDetails::default(),
        ..message(n, conversation)
    }
}

struct Counting(u128);

impl IdSource for Counting {
    fn next_bits(&mut self, at_ms: i64) -> u128 {
        self.0 += 1;
        ulid(at_ms, self.0)
    }
}

/// Changes that write these rows.
#[derive(Default)]
struct Writes(AccountChanges);

impl Writes {
    fn contact(mut self, contact: &Contact) -> Self {
        let keys = contact.identity.keys().into_iter();
        self.0.identifiers.extend(keys.map(|key| (key, contact.id)));
        self.0.contacts.insert(contact.id, Arc::new(contact.clone()));
        self
    }

    fn conversation(mut self, conversation: &Conversation) -> Self {
        self.0.conversations.insert(conversation.id, Arc::new(conversation.clone()));
        self
    }

    fn message(mut self, message: &Message) -> Self {
        self.0.messages.insert(message.id, Arc::new(message.clone()));
        self
    }
}

/// A contact, its conversation, and one pending message, written.
async fn thread(store: &Store, owner: &mut Owner, n: u32) -> (Contact, Conversation, Message) {
    let contact = contact(n);
    let conversation = conversation(n, &contact);
    let message = message(n, &conversation);
    let writes = Writes::default().contact(&contact).conversation(&conversation).message(&message);
    store.commit(owner.cycle(writes.0)).await.unwrap();
    (contact, conversation, message)
}
