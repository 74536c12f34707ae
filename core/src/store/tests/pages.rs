//! Pages equal what sorting, filtering and slicing of all rows gives, whatever the filters.

use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::domain::page::{
    ContactQuery, ConversationOrder, ConversationQuery, MessageQuery, PageLimit, PagePosition, RowPage,
    fold_text,
};

const ROWS: u32 = 60;

/// A generator that makes the same choices in every run.
struct Dice(rand::rngs::StdRng);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0.next_u32() % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.roll(u32::try_from(from.len()).unwrap())).unwrap()]
    }
}

/// Every combination of values, with `None` first.
fn options<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    std::iter::once(None).chain(values.iter().copied().map(Some)).collect()
}

/// Walks a list to its end and compares it with the rows that the model expects.
async fn walk<T: PartialEq + std::fmt::Debug, C: Copy>(
    expected: &[T],
    limit: PageLimit,
    read: impl AsyncFn(Option<C>) -> RowPage<Arc<T>>,
    place: impl Fn(&T) -> C,
) {
    let mut after = None;
    let mut left = expected;
    loop {
        let page = read(after).await;
        let rows: Vec<&T> = page.rows.iter().map(|row| &**row).collect();
        let (now, rest) = left.split_at(limit.rows().min(left.len()));
        assert_eq!(rows, now.iter().collect::<Vec<_>>());
        assert_eq!(page.has_more, !rest.is_empty());
        if rest.is_empty() {
            return;
        }
        after = rows.last().map(|row| place(row));
        left = rest;
    }
}

struct World {
    store: Store,
    number: i64,
    contacts: Vec<Contact>,
    conversations: Vec<Conversation>,
    messages: Vec<Message>,
    _guard: Guard,
}

/// Random rows with many ties, beside a second account that holds the same ids.
async fn world(seed: u64) -> World {
    let (store, guard) = store().await;
    store.insert_user(&user()).await.unwrap();
    let mut dice = Dice(rand::rngs::StdRng::seed_from_u64(seed));
    let names = [None, Some("Budi"), Some("ÉCLAIR budi"), Some("50%_off\\")];
    let mut contacts = BTreeMap::new();
    let mut conversations = BTreeMap::new();
    let mut messages = BTreeMap::new();
    for n in 1..=ROWS {
        let contact = Contact {
            name: dice.pick(&names).map(text),
            email: dice.pick(&[None, Some("Mail@example.com")]).map(text),
            ..contact(n)
        };
        let recency = i64::from(dice.roll(8));
        let conversation = Conversation {
            status: dice.pick(&ConversationStatus::ALL),
            last_message_at: (recency > 1).then(|| at(recency)),
            updated_at: at(recency + i64::from(dice.roll(4))),
            assignee: (dice.roll(2) == 0).then(|| Arc::new(user())),
            unread_count: dice.roll(3),
            ..conversation(n, &contact)
        };
        contacts.insert(contact.id, contact);
        conversations.insert(conversation.id, conversation);
    }
    for n in 1..=ROWS {
        let thread = conversations.values().nth(usize::try_from(dice.roll(3)).unwrap()).unwrap();
        // Several messages of one millisecond.
        let ms = i64::from(n / 3);
        let message = Message {
            id: MessageId::from_bits(ulid(ms, n.into())),
            direction: dice.pick(&[Direction::Inbound, Direction::Outbound]),
            status: dice.pick(&MessageStatus::ALL),
            created_at: at(ms),
            ..message(n, thread)
        };
        messages.insert(message.id, message);
    }
    let mut number = 0;
    for n in [2, 1] {
        let mut owner = Owner::of(&store, n).await;
        let mut writes = Writes::default();
        for row in contacts.values() {
            writes = writes.contact(row);
        }
        for row in conversations.values() {
            writes = writes.conversation(row);
        }
        for row in messages.values() {
            writes = writes.message(row);
        }
        store.commit(owner.cycle(writes.0)).await.unwrap();
        number = owner.number;
    }
    World {
        store,
        number,
        contacts: contacts.into_values().rev().collect(),
        conversations: conversations.into_values().rev().collect(),
        messages: messages.into_values().rev().collect(),
        _guard: guard,
    }
}

fn limits() -> [PageLimit; 3] {
    [1, 7, 100].map(|rows| PageLimit::new(rows).unwrap())
}

#[tokio::test]
async fn conversations_equal_the_model() {
    let world = world(1).await;
    let one = world.contacts[5].id;
    let sinces: Vec<Timestamp> = [0, 4, 9, 99].map(at).into();
    for status in options(&ConversationStatus::ALL) {
        for contact_id in options(&[one, ContactId::from_bits(404)]) {
            for updated_since in options(&sinces) {
                let query =
                    ConversationQuery { status, contact_id, updated_since, ..ConversationQuery::default() };
                let key = |row: &Conversation| match query.order() {
                    ConversationOrder::Recency => row.recency_key(),
                    ConversationOrder::Updated => row.updated_at.millis(),
                };
                let mut expected = world.conversations.clone();
                expected.retain(|row| {
                    status.is_none_or(|status| row.status == status)
                        && contact_id.is_none_or(|id| row.contact.id == id)
                        && updated_since.is_none_or(|since| row.updated_at > since)
                });
                expected.sort_by_key(|row| std::cmp::Reverse((key(row), row.id)));
                for limit in limits() {
                    let read = async |after| {
                        let query = ConversationQuery { limit, after, ..query.clone() };
                        world.store.page_conversations(world.number, &query).await.unwrap()
                    };
                    let place = |row: &Conversation| PagePosition { key: key(row), id: row.id.bits() };
                    walk(&expected, limit, read, place).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn messages_equal_the_model() {
    let world = world(2).await;
    let threads: Vec<ConversationId> = world.conversations.iter().rev().take(2).map(|row| row.id).collect();
    for conversation_id in options(&threads) {
        for direction in options(&[Direction::Inbound, Direction::Outbound]) {
            for status in options(&[MessageStatus::Received, MessageStatus::Failed]) {
                for (created_after, created_before) in
                    [(None, None), (Some(4), None), (None, Some(15)), (Some(4), Some(15)), (Some(9), Some(9))]
                {
                    let query = MessageQuery {
                        conversation_id,
                        direction,
                        status,
                        created_after: created_after.map(at),
                        created_before: created_before.map(at),
                        ..MessageQuery::default()
                    };
                    let mut expected = world.messages.clone();
                    expected.retain(|row| {
                        conversation_id.is_none_or(|id| row.conversation_id == id)
                            && direction.is_none_or(|direction| row.direction == direction)
                            && status.is_none_or(|status| row.status == status)
                            && created_after.is_none_or(|ms| row.created_at > at(ms))
                            && created_before.is_none_or(|ms| row.created_at < at(ms))
                    });
                    for limit in limits() {
                        let read = async |after| {
                            let query = MessageQuery { limit, after, ..query.clone() };
                            world.store.page_messages(world.number, &query, NO_ERASURE).await.unwrap()
                        };
                        walk(&expected, limit, read, |row: &Message| row.id).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn contacts_equal_the_model() {
    let world = world(3).await;
    let one = world.contacts[7].identity.phone().unwrap().clone();
    for phone in [None, Some(one), Some(phone(404))] {
        for search in
            [None, Some("BUDI"), Some("éclair"), Some("%_OFF\\"), Some("+6200"), Some("mail@"), Some("'\"")]
        {
            let query =
                ContactQuery { phone: phone.clone(), search: search.map(text), ..ContactQuery::default() };
            let mut expected = world.contacts.clone();
            expected.retain(|row| {
                let fields =
                    [row.name.as_deref(), row.identity.phone().map(Phone::as_str), row.email.as_deref()];
                let found = |needle| {
                    fields.iter().flatten().any(|field| fold_text(field).contains(&fold_text(needle)))
                };
                phone.as_ref().is_none_or(|phone| row.identity.phone() == Some(phone))
                    && search.is_none_or(found)
            });
            for limit in limits() {
                let read = async |after| {
                    let query = ContactQuery { limit, after, ..query.clone() };
                    world.store.page_contacts(world.number, &query).await.unwrap()
                };
                walk(&expected, limit, read, |row: &Contact| row.id).await;
            }
        }
    }
}
