//! Merges: all messages of a conversation move with one statement, and what the same commit writes is written
//! once.

use super::*;
use crate::domain::draft::ConversationMerge;
use crate::domain::page::{ConversationQuery, MessageQuery, PageLimit};

struct Merged {
    owner: Owner,
    gone: Conversation,
    left: Conversation,
}

/// Two conversations with messages 3 to 9 and 13 to 19.
async fn two_threads(store: &Store) -> Merged {
    let mut owner = Owner::of(store, 1).await;
    let (_, left, _) = thread(store, &mut owner, 1).await;
    let (_, gone, _) = thread(store, &mut owner, 2).await;
    let mut writes = Writes::default();
    for n in 3..10 {
        writes = writes.message(&inbound(n, &gone)).message(&inbound(n + 10, &left));
    }
    store.commit(owner.cycle(writes.0)).await.unwrap();
    Merged { owner, gone, left }
}

fn merge(from: &Conversation, into: &Conversation) -> ConversationMerge {
    ConversationMerge { from: from.id, into: into.id, contact: into.contact.id }
}

async fn messages_of(store: &Store, owner: &Owner, conversation: &Conversation) -> Vec<Arc<Message>> {
    let query = MessageQuery {
        conversation_id: Some(conversation.id),
        limit: PageLimit::new(100).unwrap(),
        ..MessageQuery::default()
    };
    store.page_messages(owner.number, &query, NO_ERASURE).await.unwrap().rows
}

#[tokio::test]
async fn a_merge_moves_every_message_and_hides_the_empty_rows() {
    let (store, _guard) = store().await;
    let Merged { mut owner, gone, left } = two_threads(&store).await;
    let emptied = Conversation { merged_into: Some(left.id), ..gone.clone() };
    // One message is changed by the same commit, and one comes with it.
    let changed = Message {
        status: MessageStatus::Read,
        conversation_id: left.id,
        contact_id: left.contact.id,
        ..inbound(5, &gone)
    };
    let mut changes =
        Writes::default().conversation(&emptied).message(&changed).message(&inbound(30, &left)).0;
    changes.merges.push(merge(&gone, &left));
    let commit = owner.cycle(changes);
    let moved_at = commit.at;
    store.commit(commit).await.unwrap();

    assert!(messages_of(&store, &owner, &gone).await.is_empty());
    let moved = messages_of(&store, &owner, &left).await;
    assert_eq!(moved.len(), 8 + 8 + 1);
    assert!(moved.iter().all(|message| message.contact_id == left.contact.id));
    let find = async |n| store.find_message(owner.number, inbound(n, &gone).id).await.unwrap().unwrap();
    assert_eq!(*find(5).await, changed, "as the commit wrote it");
    let expected = Message {
        conversation_id: left.id,
        contact_id: left.contact.id,
        updated_at: moved_at,
        ..inbound(6, &gone)
    };
    assert_eq!(*find(6).await, expected);
    assert_eq!(find(16).await.updated_at, at(16), "not moved, and not touched");

    let all = store.page_conversations(owner.number, &ConversationQuery::default()).await.unwrap();
    assert_eq!(all.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [left.id]);
    let kept = store.find_conversation(owner.number, gone.id).await.unwrap();
    assert_eq!(kept.as_deref(), Some(&emptied));
    let active = store.activate_account(owner.number, NODE, 9, CommitFloor::NONE).await.unwrap().unwrap();
    assert_eq!(active.conversations.iter().map(|row| row.id).collect::<Vec<_>>(), [left.id]);
    assert!(active.complete);
}

#[tokio::test]
async fn a_chain_of_merges_ends_in_the_last_conversation() {
    let (store, _guard) = store().await;
    let Merged { mut owner, gone, left } = two_threads(&store).await;
    let (_, last, _) = thread(&store, &mut owner, 40).await;
    let merges = vec![merge(&gone, &left), merge(&left, &last)];
    store.commit(owner.cycle(AccountChanges { merges, ..AccountChanges::default() })).await.unwrap();
    let all = messages_of(&store, &owner, &last).await;
    assert_eq!(all.len(), 8 + 8 + 1);
    assert!(all.iter().all(|message| message.contact_id == last.contact.id));
}

#[tokio::test]
async fn a_merge_touches_no_other_account() {
    let (store, _guard) = store().await;
    let Merged { mut owner, gone, left } = two_threads(&store).await;
    let mut other = Owner::of(&store, 2).await;
    let (_, twin, _) = thread(&store, &mut other, 2).await;
    assert_eq!(twin.id, gone.id, "ids of one account are no ids of another");
    // In one transaction: the neighbour writes a message with the id of one that moves here.
    let changes = AccountChanges { merges: vec![merge(&gone, &left)], ..AccountChanges::default() };
    let twin_message = inbound(6, &twin);
    let (here, there) = (owner.cycle(changes), other.cycle(Writes::default().message(&twin_message).0));
    let (here, there) = tokio::join!(store.commit(here), store.commit(there));
    here.and(there).unwrap();
    assert!(messages_of(&store, &owner, &gone).await.is_empty());
    assert_eq!(messages_of(&store, &other, &twin).await.len(), 2);
}
