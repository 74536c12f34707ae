//! Laws of loading: which rows are at hand before a batch is decided changes how often it is decided, and nothing
//! else.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::world::{
    Decided, START_MS, World, accepted, inbound, item, message_item, outgoing, phone, status_report, text,
};
use crate::domain::address::Address;
use crate::domain::command::{
    AccountCommand, CommandRefusal, CommandReply, ConversationPatch, EffectAction, EffectCommand,
};
use crate::domain::contact::{ContactPatch, NewContact, NewIdentifier};
use crate::domain::conversation::ConversationStatus;
use crate::domain::due_time::DueTime;
use crate::domain::effect::{EffectId, EffectRefusal};
use crate::domain::identity::{IdentifierKey, Party, UserId};
use crate::domain::inbound::{InboundFact, InboundMessage, ItemOwner, StatusReport};
use crate::domain::loaded_rows::LoadedRows;
use crate::domain::message::{Direction, MessageKind, OutgoingMessage, SendOutcome, WaitingMessage};
use crate::domain::monotonic::MonotonicInstant;
use crate::domain::phone::Phone;
use crate::domain::read_receipt::ReadReceipt;
use crate::domain::row_needs::{RowNeed, RowNeeds};
use crate::domain::status::MessageStatus;
use crate::domain::wamid::wamid_key;
use crate::ids::{ContactId, ConversationId, MessageId, RunId};

/// The wamid of the account's nth outbound message.
fn outbound_wamid(nth: usize) -> Arc<str> {
    format!("out.{nth}").into()
}

fn user_id(nth: usize) -> Option<UserId> {
    (nth < 3).then(|| UserId::parse(&format!("ID.{nth}")).unwrap())
}

fn contact_phone(nth: usize) -> Phone {
    phone(&format!("+628120000000{nth}"))
}

/// A command whose rows are named by their places, of which each world has its own.
#[derive(Debug, Clone)]
enum Operation {
    Receive { wamids: Vec<usize>, phone: usize, user: usize, named: bool },
    Report { nth: usize, status: MessageStatus, echo: bool },
    Send { phone: usize },
    MarkRead { wamid: usize },
    PatchConversation { nth: usize, status: ConversationStatus },
    CreateContact { phone: usize, named: bool },
    PatchContact { nth: usize, named: bool },
    BeginSends,
    RecordSend { nth: usize, taken: bool },
    CarryOut { run: usize, wamid: usize, phone: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let statuses = proptest::sample::select(&[
        MessageStatus::Sent,
        MessageStatus::Delivered,
        MessageStatus::Read,
        MessageStatus::Failed,
    ]);
    let states = proptest::sample::select(&[ConversationStatus::Open, ConversationStatus::Resolved]);
    prop_oneof![
        (proptest::collection::vec(0_usize..6, 1..3), 0_usize..3, 0_usize..4, any::<bool>())
            .prop_map(|(wamids, phone, user, named)| Operation::Receive { wamids, phone, user, named }),
        (0_usize..3, statuses, any::<bool>()).prop_map(|(nth, status, echo)| Operation::Report {
            nth,
            status,
            echo
        }),
        (0_usize..3).prop_map(|phone| Operation::Send { phone }),
        (0_usize..6).prop_map(|wamid| Operation::MarkRead { wamid }),
        (0_usize..3, states).prop_map(|(nth, status)| Operation::PatchConversation { nth, status }),
        (0_usize..3, any::<bool>()).prop_map(|(phone, named)| Operation::CreateContact { phone, named }),
        (0_usize..3, any::<bool>()).prop_map(|(nth, named)| Operation::PatchContact { nth, named }),
        Just(Operation::BeginSends),
        (0_usize..3, any::<bool>()).prop_map(|(nth, taken)| Operation::RecordSend { nth, taken }),
        (0_usize..2, 0_usize..6, 0_usize..3).prop_map(|(run, wamid, phone)| Operation::CarryOut {
            run,
            wamid,
            phone
        }),
    ]
}

fn receipt_of(wamid: &str) -> ReadReceipt {
    ReadReceipt { wamid: wamid.into(), typing: false }
}

impl World {
    fn outbound(&self, nth: usize) -> MessageId {
        let outbound = self.messages.values().filter(|message| message.direction == Direction::Outbound);
        outbound.map(|message| message.id).nth(nth).unwrap_or(MessageId::from_bits(1))
    }

    /// The account's nth outbound message as a sender saw it, or one that is not there.
    fn seen(&self, nth: usize) -> WaitingMessage {
        let id = self.outbound(nth);
        self.messages.get(&id).and_then(|message| message.as_waiting()).unwrap_or(WaitingMessage {
            id,
            conversation_id: ConversationId::from_bits(1),
            attempts: 0,
            next_attempt_at: DueTime::AT_ONCE,
        })
    }

    fn command(&self, operation: &Operation) -> AccountCommand {
        let name = |named: &bool| named.then(|| Arc::<str>::from("Rani"));
        let inbound = |wamid: &usize| Arc::<str>::from(format!("in.{wamid}"));
        let template = |phone: &usize| OutgoingMessage {
            to: Address::Phone(contact_phone(*phone)),
            ..outgoing(MessageKind::Template)
        };
        match operation {
            Operation::Receive { wamids, phone, user, named } => {
                let party = Party {
                    // The highest place stands for an absent identifier.
                    user_id: user_id(*user),
                    phone: (*phone < 2 || *user == 3).then(|| contact_phone(*phone)),
                    name: name(named),
                    ..Party::default()
                };
                let message = |wamid| InboundMessage {
                    wamid: inbound(wamid),
                    owner: ItemOwner::Person(party.clone()),
                    ..text("", START_MS)
                };
                AccountCommand::Ingest(wamids.iter().map(|wamid| message_item(message(wamid))).collect())
            }
            Operation::Report { nth, status, echo } => {
                let report = StatusReport {
                    echo: echo.then(|| self.outbound(*nth)),
                    error: None,
                    recipient: Some(Party::of_phone(contact_phone(*nth))),
                    ..status_report(&outbound_wamid(*nth), *status, START_MS)
                };
                AccountCommand::Ingest(vec![item(InboundFact::Status(Box::new(report)))])
            }
            Operation::Send { phone } => AccountCommand::Send(template(phone)),
            Operation::MarkRead { wamid } => AccountCommand::MarkRead(receipt_of(&inbound(wamid))),
            Operation::PatchConversation { nth, status } => {
                let id = self.threads.keys().nth(*nth).copied().unwrap_or(ConversationId::from_bits(1));
                AccountCommand::PatchConversation(ConversationPatch {
                    id,
                    status: Some(*status),
                    assignee: None,
                })
            }
            Operation::CreateContact { phone, named } => AccountCommand::CreateContact(NewContact {
                identifier: NewIdentifier::Phone(contact_phone(*phone)),
                name: name(named),
                email: None,
                metadata: None,
            }),
            Operation::PatchContact { nth, named } => {
                let id = self.contacts.keys().nth(*nth).copied().unwrap_or(ContactId::from_bits(1));
                let patch = ContactPatch { name: Some(name(named)), ..ContactPatch::default() };
                AccountCommand::PatchContact { id, patch }
            }
            Operation::BeginSends => AccountCommand::BeginSends {
                seen: (0..3).map(|nth| self.seen(nth)).collect(),
                settle_by: DueTime::from_row(self.now),
                loaded_at: MonotonicInstant::START,
            },
            Operation::RecordSend { nth, taken } => {
                let (wamid, wait) = (outbound_wamid(*nth), Duration::from_secs(1));
                let outcome = if *taken { accepted(&wamid) } else { SendOutcome::Retry { wait } };
                AccountCommand::RecordSends(vec![(self.outbound(*nth), outcome)])
            }
            Operation::CarryOut { run, wamid, phone } => AccountCommand::CarryOut(vec![
                order(*run, 0, Ok(EffectAction::MarkRead(receipt_of(&inbound(wamid))))),
                order(*run, 1, Ok(EffectAction::Send(template(phone)))),
                order(*run, 2, Err(EffectRefusal::NoUser)),
            ]),
        }
    }

    /// Every key that exists or that a command names.
    fn everything(&self, commands: &[AccountCommand]) -> RowNeeds {
        let mut needs = RowNeeds::default();
        for command in commands {
            needs.add_needs(command);
        }
        needs.contacts.extend(self.contacts.keys());
        needs.conversations.extend(self.threads.keys());
        needs.unread.extend(self.threads.keys());
        needs.messages.extend(self.messages.keys());
        for nth in 0..3 {
            needs.insert_need(RowNeed::Identifier(IdentifierKey::Number(contact_phone(nth))));
            needs.identifiers.extend(user_id(nth).map(IdentifierKey::User));
            needs.insert_need(RowNeed::ParkedItems(wamid_key(&outbound_wamid(nth))));
        }
        for nth in 0..6 {
            needs.insert_need(RowNeed::MessageOfWamid(format!("in.{nth}").into()));
        }
        needs
    }

    /// What memory may hold of the rows, by lot, and what the commands are known to need ahead.
    fn hinted(&self, commands: &[AccountCommand], lot: u64) -> LoadedRows {
        let mut needs = RowNeeds::default();
        for command in commands {
            needs.add_needs(command);
        }
        let mut facts = LoadedRows::default();
        let drawn = |nth: usize| (lot >> (nth % 64)) & 1 == 1;
        for (_, thread) in self.threads.values().enumerate().filter(|(nth, _)| drawn(*nth)) {
            facts.put_conversation(thread.clone());
            needs.conversations.remove(&thread.id);
            thread.contact.identity.keys().iter().for_each(|key| {
                needs.identifiers.remove(key);
            });
        }
        for (_, message) in self.messages.values().enumerate().filter(|(nth, _)| drawn(nth + 3)) {
            facts.put_message(message.clone());
            needs.messages.remove(&message.id);
            if let Some(wamid) = &message.wamid {
                needs.wamids.remove(wamid);
            }
        }
        facts.merge_rows(self.load(&needs));
        facts
    }
}

fn order(run: usize, ordinal: u32, deed: Result<EffectAction, EffectRefusal>) -> EffectCommand {
    EffectCommand { id: EffectId { run: RunId::from_bits(u128::try_from(run).unwrap() + 1), ordinal }, deed }
}

/// Results and changes, without how often the batch was decided.
fn outcome(decided: &Decided) -> String {
    format!("{:#?}\n{:#?}", decided.results, decided.changes)
}

proptest! {
    /// A batch ends the same whether all rows were at hand, or none, or those that memory and hints gave.
    #[test]
    fn rows_loaded_late_decide_as_rows_loaded_before(
        batches in proptest::collection::vec(
            (proptest::collection::vec(operation(), 1..6), any::<u64>()),
            1..8,
        ),
    ) {
        let mut world = World::new();
        for (run, ordinal) in (0..2).flat_map(|run| (0..3).map(move |ordinal| (run, ordinal))) {
            world.effects.insert(order(run, ordinal, Err(EffectRefusal::NoUser)).id);
        }
        for (batch, lot) in batches {
            let commands: Vec<AccountCommand> = batch.iter().map(|one| world.command(one)).collect();
            let whole = world.decide(&commands, world.load(&world.everything(&commands)));
            prop_assert_eq!(whole.rounds, 1, "all rows were at hand");
            let bare = world.decide(&commands, LoadedRows::default());
            let hinted = world.decide(&commands, world.hinted(&commands, lot));
            prop_assert_eq!(outcome(&bare), outcome(&whole));
            prop_assert_eq!(outcome(&hinted), outcome(&whole));
            world.commit(&whole);
        }
    }
}

/// Decides a batch on hinted facts, with every conversation and message in memory, and writes it.
fn run_batch(world: &mut World, commands: &[AccountCommand]) -> Decided {
    let decided = world.decide(commands, world.hinted(commands, u64::MAX));
    world.commit(&decided);
    decided
}

#[test]
fn a_message_read_in_the_commit_that_brings_it_reads_the_earlier_ones_too() {
    let mut world = World::new();
    world.ingest(vec![inbound("a"), inbound("b")]);
    let read = AccountCommand::MarkRead(receipt_of("c"));
    let decided = run_batch(&mut world, &[AccountCommand::Ingest(vec![inbound("c")]), read]);
    assert!(
        matches!(&decided.results[1], Ok(CommandReply::Message(message)) if message.status == MessageStatus::Read)
    );
    assert!(world.messages.values().all(|message| message.status == MessageStatus::Read));
    assert_eq!((world.messages.len(), world.thread().unread_count), (3, 0));
}

#[test]
fn a_conversation_that_begins_in_the_commit_is_read_in_it() {
    let mut world = World::new();
    let read = AccountCommand::MarkRead(receipt_of("a"));
    let decided = run_batch(&mut world, &[AccountCommand::Ingest(vec![inbound("a")]), read]);
    assert_eq!((decided.rounds, world.thread().unread_count), (1, 0), "nothing that is new is looked for");
}

#[test]
fn a_number_that_wrote_in_first_is_a_contact_already() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = world.thread().contact.id;
    let new = NewContact {
        identifier: NewIdentifier::Phone(phone("+6281200000001")),
        name: None,
        email: None,
        metadata: None,
    };
    let commands = [AccountCommand::Ingest(vec![inbound("b")]), AccountCommand::CreateContact(new)];
    let decided = run_batch(&mut world, &commands);
    assert_eq!(decided.results, [Ok(CommandReply::Ingested), Err(CommandRefusal::ContactExists(id))]);
}

#[test]
fn a_resident_conversation_says_nothing_of_its_contacts_row() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let mut facts = LoadedRows::default();
    facts.put_conversation(Arc::new(world.thread().clone()));
    let id = world.thread().contact.id;
    let number = IdentifierKey::Number(phone("+6281200000001"));
    assert_eq!(facts.contact_of(&number), Ok(Some(id)));
    assert!(facts.conversation_of(id).unwrap().is_some() && facts.contact_ref(id).unwrap().is_some());
    assert_eq!(facts.find_contact(id).unwrap_err().0, RowNeed::Contact(id));
    let other = IdentifierKey::Number(phone("+6281200000002"));
    assert_eq!(facts.contact_of(&other).unwrap_err().0, RowNeed::Identifier(other.clone()));
    let needs =
        RowNeeds { identifiers: [other.clone()].into(), contacts: [id].into(), ..RowNeeds::default() };
    facts.merge_rows(world.load(&needs));
    assert_eq!(facts.contact_of(&other), Ok(None), "looked for, and absent");
    assert!(facts.find_contact(id).unwrap().is_some());
}
