//! An account in memory: its rows, which are loaded in rounds as an account's writer loads them from the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::account::AccountProfile;
use crate::domain::account::{Account, AccountStatus, PhoneNumberId, Secret};
use crate::domain::address::Address;
use crate::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use crate::domain::contact::Contact;
use crate::domain::conversation::Conversation;
use crate::domain::decide::{DecideError, decide_command};
use crate::domain::draft::{AccountChanges, Draft};
use crate::domain::effect::EffectId;
use crate::domain::identity::{IdentifierKey, Party};
use crate::domain::inbound::{InboundFact, InboundItem, InboundMessage, ItemOwner, StatusReport};
use crate::domain::loaded_rows::LoadedRows;
use crate::domain::message::{Direction, Message, MessageError, MessageKind, OutgoingMessage, SendOutcome};
use crate::domain::message_details::MessageSource;
use crate::domain::parked::ParkedItem;
use crate::domain::phone::Phone;
use crate::domain::row_needs::RowNeeds;
use crate::domain::status::MessageStatus;
use crate::domain::template::{Template, TemplateKey};
use crate::domain::time::Timestamp;
use crate::domain::wamid::wamid_key;
use crate::ids::{AccountId, ContactId, ConversationId, IdSource, MessageId, OrganisationId, ulid};

/// Ids that count up.
#[derive(Clone, Copy)]
struct Counting(u128);

impl IdSource for Counting {
    fn next_bits(&mut self, at_ms: i64) -> u128 {
        self.0 += 1;
        ulid(at_ms, self.0)
    }
}

/// What a batch brought about.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) results: Vec<Result<CommandReply, CommandRefusal>>,
    pub(super) changes: AccountChanges,
    /// How often it was decided.
    pub(super) rounds: usize,
    account: Arc<Account>,
    ids: u128,
}

/// See the module. Every batch is one commit, a millisecond after the one before.
pub(super) struct World {
    pub(super) account: Arc<Account>,
    pub(super) now: Timestamp,
    pub(super) events: Vec<String>,
    pub(super) contacts: BTreeMap<ContactId, Arc<Contact>>,
    pub(super) threads: BTreeMap<ConversationId, Arc<Conversation>>,
    pub(super) messages: BTreeMap<MessageId, Arc<Message>>,
    pub(super) parked: Vec<ParkedItem>,
    pub(super) identifiers: BTreeMap<IdentifierKey, ContactId>,
    pub(super) effects: BTreeSet<EffectId>,
    pub(super) erased: BTreeSet<Arc<str>>,
    pub(super) templates: BTreeMap<TemplateKey, Arc<Template>>,
    ids: u128,
}

pub(super) const START_MS: i64 = 1_780_000_000_000;

impl World {
    pub(super) fn new() -> Self {
        let account = Account {
            id: AccountId::from_bits(1),
            number: 1,
            organisation_id: OrganisationId::from_bits(1),
            phone_number_id: PhoneNumberId::parse("106540352242922").unwrap(),
            phone: phone("+15550100922"),
            name: None,
            status: AccountStatus::Connected,
            status_reason: None,
            recovery: None,
            profile: AccountProfile::default(),
            access_token: Secret::new("t"),
            app_secret: None,
            messages_per_second: 80,
            sandbox: true,
            created_at: Timestamp::EPOCH,
        };
        Self {
            account: Arc::new(account),
            now: Timestamp::from_millis(START_MS),
            events: Vec::new(),
            contacts: BTreeMap::new(),
            threads: BTreeMap::new(),
            messages: BTreeMap::new(),
            parked: Vec::new(),
            identifiers: BTreeMap::new(),
            effects: BTreeSet::new(),
            erased: BTreeSet::new(),
            templates: BTreeMap::new(),
            ids: 0,
        }
    }

    /// The rows that these needs name.
    pub(super) fn load(&self, needs: &RowNeeds) -> LoadedRows {
        let mut facts = LoadedRows::all_absent(needs);
        for message in self.messages.values() {
            let unread = message.status == MessageStatus::Received;
            if needs.messages.contains(&message.id)
                || message.wamid.as_ref().is_some_and(|wamid| needs.wamids.contains(&wamid_key(wamid)))
                || (unread && needs.unread.contains(&message.conversation_id))
            {
                facts.put_message(message.clone());
            }
        }
        let mut wanted = needs.contacts.clone();
        for key in &needs.identifiers {
            if let Some(id) = self.identifiers.get(key) {
                wanted.insert(*id);
            }
        }
        for id in wanted {
            let Some(contact) = self.contacts.get(&id) else { continue };
            facts.put_contact(contact.clone());
            facts.put_absent_conversation(id);
            for thread in self.threads.values().filter(|thread| thread.contact.id == id) {
                facts.put_conversation(thread.clone());
            }
        }
        for id in &needs.conversations {
            if let Some(thread) = self.threads.get(id) {
                facts.put_conversation(thread.clone());
            }
        }
        self.erased
            .iter()
            .filter(|key| needs.erased.contains(*key))
            .for_each(|key| facts.put_erased(key.clone()));
        for contact in self.contacts.values() {
            // Merges of merges are not followed here.
            if let Some(into) = contact.merged_into {
                facts.put_merged(into, contact.id);
            }
        }
        self.parked.iter().for_each(|report| facts.put_parked(report.clone()));
        self.effects.iter().for_each(|id| facts.put_effect(*id));
        for template in needs.templates.iter().filter_map(|key| self.templates.get(key)) {
            facts.put_template(template.clone());
        }
        facts
    }

    /// Decides a batch as an account's writer does: on these facts, and in further rounds on what the rules lack.
    pub(super) fn decide(&self, commands: &[AccountCommand], mut facts: LoadedRows) -> Decided {
        for rounds in 1.. {
            assert!(rounds < 9, "rules that go on asking: {commands:?}");
            let mut ids = Counting(self.ids);
            let mut draft = Draft::new(self.account.clone(), facts.clone(), self.now.next(), &mut ids);
            let mut results = Vec::new();
            for command in commands {
                match decide_command(&mut draft, command) {
                    Ok(reply) => results.push(Ok(reply)),
                    Err(DecideError::Refused(refusal)) => results.push(Err(refusal)),
                    Err(DecideError::NotLoaded(_)) => {}
                }
            }
            let account = draft.account.clone();
            match draft.into_changes() {
                Ok(changes) => {
                    assert_eq!(results.len(), commands.len());
                    return Decided { results, changes, rounds, account, ids: ids.0 };
                }
                Err(missing) => facts.merge_rows(self.load(&missing)),
            }
        }
        unreachable!("rounds have no end")
    }

    /// Writes what was decided.
    pub(super) fn commit(&mut self, decided: &Decided) {
        let changes = &decided.changes;
        self.now = self.now.next();
        self.ids = decided.ids;
        self.account = decided.account.clone();
        for row in changes.conversations.values() {
            assert_eq!(row.updated_at, self.now);
            assert!(row.last_message_at <= Some(row.updated_at));
        }
        assert!(changes.contacts.values().all(|row| row.updated_at == self.now));
        for deleted in &changes.deleted {
            self.contacts.remove(&deleted.contact);
            self.identifiers.retain(|_, owner| *owner != deleted.contact);
            if let Some(id) = deleted.conversation {
                self.threads.remove(&id);
                let gone = self.messages.values().filter(|message| message.conversation_id == id);
                self.erased.extend(gone.flat_map(|message| message.erasure_keys()));
                self.messages.retain(|_, message| message.conversation_id != id);
            }
        }
        self.messages.retain(|id, _| !changes.removed.contains(id));
        self.erased.extend(changes.erased_keys.iter().cloned());
        self.contacts.extend(changes.contacts.clone());
        self.threads.extend(changes.conversations.clone());
        self.messages.extend(changes.messages.clone());
        for merge in &changes.merges {
            for message in self.messages.values_mut() {
                if message.conversation_id == merge.from {
                    let moved = Arc::make_mut(message);
                    (moved.conversation_id, moved.contact_id) = (merge.into, merge.contact);
                }
            }
        }
        self.templates.retain(|_, row| !changes.removed_templates.contains_key(&row.id));
        self.templates.extend(changes.templates.values().map(|row| (row.key.clone(), row.clone())));
        self.identifiers.extend(changes.identifiers.clone());
        self.parked.retain(|item| !changes.unparked.contains(&item.wamid_key));
        for item in &changes.parked {
            self.parked.retain(|known| known.wamid_key != item.wamid_key || known.slot() != item.slot());
            self.parked.push(item.clone());
        }
        for settled in &changes.effects {
            assert!(self.effects.remove(&settled.id), "carried out twice");
        }
        self.events.extend(changes.events.iter().map(|event| event.as_str().to_owned()));
    }

    /// Decides one command, none of whose rows is loaded before the rules ask for it, and writes it.
    pub(super) fn run(
        &mut self,
        command: &AccountCommand,
    ) -> (Result<CommandReply, CommandRefusal>, AccountChanges) {
        let mut decided = self.decide(std::slice::from_ref(command), LoadedRows::default());
        self.commit(&decided);
        let (result, changes) = (decided.results.remove(0), decided.changes);
        assert!(result.is_ok() || changes.is_empty(), "a refused command changes nothing");
        let quiet = matches!(command, AccountCommand::BeginSends { .. } | AccountCommand::RecordSends(_));
        assert!(quiet || changes.messages.values().all(|row| row.updated_at == self.now));
        (result, changes)
    }

    pub(super) fn ingest(&mut self, items: Vec<InboundItem>) -> AccountChanges {
        let (result, changes) = self.run(&AccountCommand::Ingest(items));
        assert_eq!(result, Ok(CommandReply::Ingested));
        changes
    }

    pub(super) fn thread(&self) -> &Conversation {
        assert_eq!(self.threads.len(), 1);
        self.threads.values().next().unwrap()
    }

    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[&id]
    }
}

pub(super) fn phone(text: &str) -> Phone {
    Phone::parse(text).unwrap()
}

pub(super) fn person(number: &str, name: &str) -> Party {
    Party { name: Some(name.into()), ..Party::of_phone(phone(number)) }
}

pub(super) fn text(wamid: &str, at_ms: i64) -> InboundMessage {
    InboundMessage {
        wamid: wamid.into(),
        owner: ItemOwner::Person(person("+6281200000001", "Rani")),
        direction: Direction::Inbound,
        source: MessageSource::Inbound,
        standby: false,
        at: Timestamp::from_millis(at_ms),
        past_status: None,
        kind: MessageKind::Text,
        placeholder: false,
        content: "hi".into(),
        payload: r#"{"body":"hi"}"#.into(),
        context: None,
        referral: None,
        reaction: None,
        identity_change: None,
        shared_number: None,
    }
}

pub(super) fn item(fact: InboundFact) -> InboundItem {
    InboundItem { fact, raw: None }
}

pub(super) fn message_item(message: InboundMessage) -> InboundItem {
    item(InboundFact::Message(Box::new(message)))
}

pub(super) fn inbound(wamid: &str) -> InboundItem {
    message_item(text(wamid, START_MS))
}

pub(super) fn status_report(wamid: &str, status: MessageStatus, at_ms: i64) -> StatusReport {
    let failed = status == MessageStatus::Failed;
    StatusReport {
        wamid: wamid.into(),
        echo: None,
        status,
        at: Timestamp::from_millis(at_ms),
        error: failed.then(|| MessageError {
            code: "whatsapp_error".into(),
            message: "no".into(),
            provider_code: Some(1),
        }),
        refuses_account: false,
        recipient: None,
        pricing: None,
    }
}

pub(super) fn report(wamid: &str, status: MessageStatus, at_ms: i64) -> InboundItem {
    item(InboundFact::Status(Box::new(status_report(wamid, status, at_ms))))
}

pub(super) fn accepted(wamid: &str) -> SendOutcome {
    SendOutcome::Accepted { wamid: Some(wamid.into()), hold_reason: None, recipient: Party::default() }
}

pub(super) fn outgoing(kind: MessageKind) -> OutgoingMessage {
    OutgoingMessage {
        to: Address::Phone(phone("+6281200000001")),
        kind,
        content: "yo".into(),
        payload: "{}".into(),
        context: None,
        reaction: None,
        template: None,
        callback_data: None,
        source: MessageSource::Api,
    }
}

pub(super) fn send(world: &mut World) -> MessageId {
    match world.run(&AccountCommand::Send(outgoing(MessageKind::Text))).0 {
        Ok(CommandReply::Message(message)) => message.id,
        other => panic!("{other:?}"),
    }
}
