//! Changed messages: a commit that knows how a message was before writes less, and the same.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::full_rows::full;
use super::*;
use crate::domain::draft::{ConversationMerge, Draft};
use crate::domain::loaded_rows::LoadedRows;
use crate::domain::message::MessageError;
use crate::ids::MonotonicIds;

/// A message after a change of each field that may change.
fn changed(message: &Message) -> Vec<Message> {
    let mut history = message.history.clone();
    history.keep_reported(MessageStatus::Read, at(60));
    let error = MessageError { code: text("a"), message: text("b"), provider_code: None };
    let details = MessageDetails { pricing: Some(text("{}")), ..MessageDetails::default() };
    let base = || message.clone();
    vec![
        Message { status: MessageStatus::Read, history, updated_at: at(61), ..base() },
        Message { error: Some(error), ..base() },
        Message { error: None, ..base() },
        Message { details, ..base() },
        Message { attempts: 77, next_attempt_at: None, ..base() },
        Message { next_attempt_at: Some(due_at(62)), ..base() },
        Message { wamid: Some(text("wamid.other")), ..base() },
        Message { wamid: None, ..base() },
        Message { kind: MessageKind::Image, ..base() },
        Message { content: text("edited"), payload: text("{}"), ..base() },
        Message { context: None, ..base() },
        Message { conversation_id: ConversationId::from_bits(99), ..base() },
        Message { contact_id: ContactId::from_bits(99), ..base() },
    ]
}

#[tokio::test]
async fn a_message_is_stored_as_it_was_changed() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (_, conversation, full) = full();
    for (n, message) in (1..).zip([full, message(7, &conversation)]) {
        let other = Message { id: MessageId::from_bits(n), wamid: None, ..message.clone() };
        let both = Writes::default().message(&message).message(&other);
        store.commit(owner.cycle(both.0)).await.unwrap();
        let mut earlier = message.clone();
        for later in changed(&message) {
            let mut writes = Writes::default().message(&later);
            writes.0.earlier_messages.insert(earlier.id, Arc::new(earlier));
            store.commit(owner.cycle(writes.0)).await.unwrap();
            let stored = store.find_message(owner.number, later.id).await.unwrap();
            assert_eq!(stored.as_deref(), Some(&later));
            earlier = later;
        }
        let stored = store.find_message(owner.number, other.id).await.unwrap();
        assert_eq!(stored.as_deref(), Some(&other), "no other message moves");
    }
}

#[tokio::test]
async fn a_status_in_the_commit_of_a_merge_moves_its_message() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (_, from, message) = thread(&store, &mut owner, 1).await;
    let (_, into, _) = thread(&store, &mut owner, 2).await;
    let moved = Message { conversation_id: into.id, contact_id: into.contact.id, ..message };
    let later = Message { status: MessageStatus::Delivered, next_attempt_at: None, ..moved.clone() };
    let mut writes = Writes::default().message(&later);
    // As a draft leaves it: loaded messages move at once.
    writes.0.earlier_messages.insert(moved.id, Arc::new(moved));
    writes.0.merges.push(ConversationMerge { from: from.id, into: into.id, contact: into.contact.id });
    store.commit(owner.cycle(writes.0)).await.unwrap();
    let stored = store.find_message(owner.number, later.id).await.unwrap();
    assert_eq!(stored.as_deref(), Some(&later));
}

#[test]
fn a_draft_keeps_how_a_message_was_before_its_first_change() {
    let (_, conversation, stored) = full();
    let mut facts = LoadedRows::default();
    facts.put_message(Arc::new(stored.clone()));
    let mut ids = MonotonicIds::new(StdRng::seed_from_u64(1));
    let mut draft = Draft::new(Arc::new(account(1)), facts, at(50), &mut ids);
    for attempts in [8, 9] {
        draft.note_attempt(Message { attempts, ..stored.clone() });
        draft.note_attempt(Message { attempts, ..message(7, &conversation) });
    }
    let changes = draft.into_changes().unwrap();
    assert_eq!(changes.earlier_messages.into_values().collect::<Vec<_>>(), [Arc::new(stored)]);
}
