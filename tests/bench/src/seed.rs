//! Fills databases before a server sees them: tenants by the operator API, rows by the store.
//!
//! Invariant: what is written is what the server itself would have written, commit by commit, so
//! that it cannot tell. Events are left out: the log is not what these scenes measure.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kabar_core::clock::Clock;
use kabar_core::domain::account::{Account, AccountProfile, AccountStatus, PhoneNumberId, Secret};
use kabar_core::domain::address::Address;
use kabar_core::domain::contact::{Contact, ContactRef, NameOrigin};
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::draft::AccountChanges;
use kabar_core::domain::identity::{ContactKind, Identity, Party};
use kabar_core::domain::message::{Direction, Message, MessageKind};
use kabar_core::domain::message_details::{MessageDetails, MessageSource};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::status::{MessageStatus, StatusHistory};
use kabar_core::domain::time::Timestamp;
use kabar_core::encryption::KeySource;
use kabar_core::ids::{
    AccountId, ContactId, ConversationId, IdSource, MessageId, MonotonicIds, NodeId, OrganisationId,
};
use kabar_core::store::{AccountCommit, CommitFloor, InsertedAccount, NodeEntry, Store, StoreOptions};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Seeding begins this long ago: well inside the 24-hour window, and no instant is in the future.
const AGE: Duration = Duration::from_hours(4);

/// Owns what is seeded, as a server that is alone would.
const NODE: NodeId = NodeId::from_bits(1);
/// The longest that filling a database may take.
const SEEDING_MAX: Duration = Duration::from_hours(1);

/// Keys of benchmarks on PostgreSQL.
pub(super) const TEST_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../test.key");

/// Makes accounts and rows in one open store.
pub(super) struct Seeder {
    store: Store,
    organisation: OrganisationId,
}

/// One account while it is being filled.
pub(super) struct Seat {
    pub(super) account: Account,
    epoch: i64,
    revision: i64,
    at: Timestamp,
    ids: MonotonicIds<StdRng>,
}

impl Seeder {
    pub(super) async fn open(url: &str, organisation: OrganisationId) -> anyhow::Result<Self> {
        let keys = match url.strip_prefix("sqlite://") {
            Some(file) => KeySource::Own(format!("{file}.key").into()),
            None => KeySource::Given(TEST_KEY.into()),
        };
        let store = Store::open(url, StoreOptions::with_keys(keys)).await?;
        if store.is_shared() {
            register_seeder(&store).await?;
        }
        Ok(Self { store, organisation })
    }

    pub(super) async fn close(self) {
        if self.store.is_shared() {
            // Left behind it would keep the server off until its time is over.
            let _logged = self
                .store
                .remove_node(NODE)
                .await
                .inspect_err(|error| tracing::warn!(%error, "seeder not removed"));
        }
        self.store.close().await;
    }

    /// Connects the account number `n` and takes it over.
    pub(super) async fn seat(&self, n: u32) -> anyhow::Result<Seat> {
        self.seat_at(n, 80).await
    }

    /// The same with this pace of sends.
    pub(super) async fn seat_at(&self, n: u32, messages_per_second: u32) -> anyhow::Result<Seat> {
        let now = Clock::system_clock().read_now();
        let begun = now.minus_duration(AGE);
        let mut ids = MonotonicIds::new(StdRng::seed_from_u64(u64::from(n)));
        let account = Account {
            id: AccountId::from_bits(ids.next_bits(begun.millis())),
            number: 0,
            organisation_id: self.organisation,
            phone_number_id: PhoneNumberId::parse(&format!("1{n:09}")).context("a phone number id")?,
            phone: Phone::parse(&format!("+6221{n:08}")).context("a number")?,
            name: Some(format!("Shop {n}").into()),
            status: AccountStatus::Connected,
            status_reason: None,
            profile: AccountProfile::default(),
            recovery: None,
            access_token: Secret::new("bench"),
            app_secret: None,
            messages_per_second,
            sandbox: false,
            created_at: begun,
        };
        let InsertedAccount::Inserted(account) = self.store.insert_account(account).await? else {
            bail!("account {n} is connected already");
        };
        let taken = self
            .store
            .activate_account(account.number, NODE, 1, CommitFloor::NONE)
            .await?
            .context("the account is gone")?;
        Ok(Seat { epoch: taken.epoch, revision: taken.revision, at: begun, ids, account })
    }

    /// Commits conversations `first..first + count`, each with its contact, and, if asked for, with
    /// one unread inbound message; answers them.
    pub(super) async fn conversations(
        &self,
        seat: &mut Seat,
        first: u32,
        count: u32,
        with_messages: bool,
    ) -> anyhow::Result<Vec<Conversation>> {
        let mut changes = AccountChanges::default();
        let mut made = Vec::new();
        seat.tick();
        for index in first..first.saturating_add(count) {
            let contact = seat.contact(index)?;
            let conversation = seat.conversation(index, &contact);
            if with_messages {
                let message = seat.message(&conversation, Direction::Inbound);
                changes.messages.insert(message.id, message.into());
            }
            made.push(conversation.clone());
            let keys = contact.identity.keys().into_iter();
            changes.identifiers.extend(keys.map(|key| (key, contact.id)));
            changes.contacts.insert(contact.id, contact.into());
            changes.conversations.insert(conversation.id, conversation.into());
        }
        self.commit(seat, changes).await?;
        Ok(made)
    }

    /// Commits messages that WhatsApp has taken, spread over the conversations.
    pub(super) async fn sent_messages(
        &self,
        seat: &mut Seat,
        conversations: &[Conversation],
        count: usize,
    ) -> anyhow::Result<Vec<SentMessage>> {
        let mut changes = AccountChanges::default();
        let mut made = Vec::new();
        seat.tick();
        for conversation in conversations.iter().cycle().take(count) {
            let message = seat.message(conversation, Direction::Outbound);
            made.push(SentMessage {
                id: message.id,
                wamid: message.wamid.as_deref().unwrap_or_default().to_owned(),
                to: message.to.phone().map(|phone| phone.as_digits().to_owned()).unwrap_or_default(),
            });
            changes.messages.insert(message.id, message.into());
        }
        self.commit(seat, changes).await?;
        Ok(made)
    }

    async fn commit(&self, seat: &mut Seat, changes: AccountChanges) -> anyhow::Result<()> {
        let commit = AccountCommit {
            account_number: seat.account.number,
            epoch: seat.epoch,
            revision: seat.revision,
            sequence: 0,
            at: seat.at,
            changes,
            events: Vec::new(),
            records: Vec::new(),
            audit: Vec::new(),
        };
        self.store.commit(commit).await?;
        seat.revision += 1;
        Ok(())
    }
}

/// A message that WhatsApp has taken.
#[derive(Debug, Clone)]
pub(super) struct SentMessage {
    pub(super) id: MessageId,
    /// WhatsApp's id.
    pub(super) wamid: String,
    /// Digits of the recipient's number.
    pub(super) to: String,
}

/// Becomes the only server of the database. The stage's own servers are killed, and such a server's row
/// stays until its lease is over; it is removed here, as the next server would do.
async fn register_seeder(store: &Store) -> anyhow::Result<()> {
    let insert = || store.insert_node(NODE, "", "", SEEDING_MAX);
    let mut entry = insert().await?;
    if let NodeEntry::Blocked { process, id } = &entry
        && store.remove_ended_node(process, *id).await?
    {
        entry = insert().await?;
    }
    if entry != NodeEntry::Entered {
        bail!("another server works on this database");
    }
    Ok(())
}

impl Seat {
    /// Path of the account's API.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/v1/{}/{rest}", self.account.phone_number_id)
    }

    /// Moves the account's clock on for the next commit.
    fn tick(&mut self) {
        self.at = self.at.plus_duration(Duration::from_secs(1));
    }

    /// The number of a seeded contact.
    pub(super) fn contact_number(index: u32) -> String {
        format!("+628{index:010}")
    }

    fn contact(&mut self, index: u32) -> anyhow::Result<Contact> {
        let phone = Phone::parse(&Self::contact_number(index)).context("a number")?;
        let mut identity = Identity::default();
        identity.learn_party(&Party::of_phone(phone), self.at);
        Ok(Contact {
            id: ContactId::from_bits(self.ids.next_bits(self.at.millis())),
            kind: ContactKind::Person,
            identity: identity.into(),
            name: Some(format!("Customer {index}").into()),
            name_origin: NameOrigin::Profile,
            email: None,
            metadata: "{}".into(),
            marketing_opted_out_at: None,
            merged_into: None,
            created_at: self.at,
            updated_at: self.at,
        })
    }

    fn conversation(&mut self, index: u32, contact: &Contact) -> Conversation {
        // No later than the commit, and not all at one instant.
        let wrote_at = self.at.minus_duration(Duration::from_millis(u64::from(index % 900)));
        Conversation {
            id: ConversationId::from_bits(self.ids.next_bits(self.at.millis())),
            status: ConversationStatus::Open,
            contact: ContactRef::from(contact),
            assignee: None,
            unread_count: 1,
            last_message_at: Some(wrote_at),
            last_inbound_at: Some(wrote_at),
            number_named_at: Some(wrote_at),
            merged_into: None,
            created_at: self.at,
            updated_at: self.at,
        }
    }

    fn message(&mut self, conversation: &Conversation, direction: Direction) -> Message {
        let id = MessageId::from_bits(self.ids.next_bits(self.at.millis()));
        let (own, other) = (Address::Phone(self.account.phone.clone()), conversation.contact.address());
        let (status, source, from, to) = match direction {
            Direction::Inbound => (MessageStatus::Received, MessageSource::Inbound, other, own),
            Direction::Outbound => (MessageStatus::Sent, MessageSource::Api, own, other),
        };
        let mut history = StatusHistory::default();
        history.keep_own(status, self.at);
        Message {
            id,
            direction,
            status,
            kind: MessageKind::Text,
            conversation_id: conversation.id,
            contact_id: conversation.contact.id,
            from,
            to,
            wamid: Some(format!("wamid.{id}").into()),
            content: "Is this still available?".into(),
            payload: r#"{"body":"Is this still available?"}"#.into(),
            context: None,
            details: MessageDetails::of_source(source),
            error: None,
            history,
            attempts: 1,
            next_attempt_at: None,
            created_at: self.at,
            updated_at: self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_seeded_account_is_one_that_the_store_gives_back() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/kabar.db", folder.path().display());
        let seeder = Seeder::open(&url, OrganisationId::from_bits(7)).await.unwrap();
        let mut seat = seeder.seat(3).await.unwrap();
        let first = seeder.conversations(&mut seat, 0, 30, true).await.unwrap();
        seeder.conversations(&mut seat, 30, 2, false).await.unwrap();
        let taken = seeder.sent_messages(&mut seat, &first, 45).await.unwrap();
        assert_eq!(taken.len(), 45);

        let activation = seeder
            .store
            .activate_account(seat.account.number, NODE, 100, CommitFloor::NONE)
            .await
            .unwrap()
            .unwrap();
        assert!(activation.complete && !activation.has_pending);
        assert_eq!((activation.revision, activation.conversations.len()), (3, 32));
        for conversation in &activation.conversations {
            assert!(conversation.last_message_at <= Some(conversation.updated_at));
        }
        assert!(activation.last_commit_at <= Clock::system_clock().read_now());
        let sent = &taken[44];
        let message = seeder.store.find_message(seat.account.number, sent.id).await.unwrap().unwrap();
        assert_eq!(message.wamid.as_deref(), Some(sent.wamid.as_str()));
        assert_eq!(message.to.phone().map(Phone::as_digits), Some(&*sent.to));
        seeder.close().await;
    }
}
