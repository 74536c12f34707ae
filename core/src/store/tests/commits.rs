//! Commits: whole or not at all, fenced, merged with their neighbours, and durable.

use super::*;
use crate::domain::page::{MessageQuery, PageLimit};
use crate::store::dialect::Dialect;

async fn statements(store: &Store, work: impl Future<Output = ()>) -> u64 {
    let before = store.statements_executed();
    work.await;
    store.statements_executed() - before
}

#[tokio::test]
async fn two_accounts_share_one_transaction() {
    let (store, _guard) = store().await;
    let (mut a, mut b) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    let (_, _, of_a) = thread(&store, &mut a, 1).await;
    let (_, _, of_b) = thread(&store, &mut b, 1).await;
    let sent = |message: Message| Message { status: MessageStatus::Sent, ..message };
    let (of_a, of_b) = (sent(of_a), sent(of_b));
    let first = a.cycle(Writes::default().message(&of_a).0);
    let second = b.cycle(Writes::default().message(&of_b).0);
    let cost = statements(&store, async {
        let (first, second) = tokio::join!(store.commit(first), store.commit(second));
        first.and(second).unwrap();
    });
    // BEGIN, all rows behind the fence, COMMIT; or all of them in one round trip.
    assert_eq!(cost.await, if store.engine.dialect() == Dialect::Postgres { 1 } else { 3 });
    for (owner, message) in [(&a, &of_a), (&b, &of_b)] {
        assert_eq!(store.find_message(owner.number, message.id).await.unwrap().as_deref(), Some(message));
        assert_eq!(store.events_after(owner.number, 0, 9).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn commits_of_one_account_follow_each_other() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (_, _, message) = thread(&store, &mut owner, 1).await;
    let attempt = |n| Message { attempts: n, ..message.clone() };
    let mut cycle = |n| store.commit(owner.cycle(Writes::default().message(&attempt(n)).0));
    let (first, second, third) = tokio::join!(cycle(1), cycle(2), cycle(3));
    first.and(second).and(third).unwrap();
    let number = owner.number;
    assert_eq!(store.find_message(number, message.id).await.unwrap().unwrap().attempts, 3);
    let events = store.events_after(number, 0, 9).await.unwrap();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_stale_owner_leaves_nothing_behind() {
    let (store, _guard) = store().await;
    let (mut old, mut neighbour) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    let number = old.number;
    let (contact, conversation, message) = thread(&store, &mut old, 1).await;
    let new = Owner::again(&store, number).await;
    assert_eq!((new.revision, new.sequence, new.epoch), (1, 1, old.epoch + 1));

    let changed = Message { attempts: 9, ..message.clone() };
    let stale_epoch = old.cycle(Writes::default().message(&changed).0);
    let mut behind = Owner { revision: 0, ..new };
    let stale_revision = behind.cycle(Writes::default().message(&changed).0);
    for stale in [stale_epoch, stale_revision] {
        let other = super::contact(77);
        let fine = neighbour.cycle(Writes::default().contact(&other).0);
        let (stale, fine) = tokio::join!(store.commit(stale), store.commit(fine));
        assert!(matches!(stale, Err(StoreError::Fenced)));
        fine.unwrap();
    }
    let after = store.activate_account(number, NODE, 10, CommitFloor::NONE).await.unwrap().unwrap();
    assert_eq!((after.revision, after.sequence), (1, 1));
    assert_eq!(after.last_commit_at, at(1001));
    assert_eq!(store.find_message(number, message.id).await.unwrap().as_deref(), Some(&message));
    assert_eq!(store.find_contact(number, contact.id).await.unwrap().as_deref(), Some(&contact));
    assert_eq!(
        store.find_conversation(number, conversation.id).await.unwrap().as_deref(),
        Some(&conversation)
    );
    assert_eq!(store.events_after(number, 0, 9).await.unwrap().len(), 1);
    assert!(store.find_contact(neighbour.number, super::contact(77).id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_bad_commit_fails_alone() {
    let (store, _guard) = store().await;
    let mut owners = Vec::new();
    for n in 1..=3 {
        let mut owner = Owner::of(&store, n).await;
        let (_, conversation, _) = thread(&store, &mut owner, 1).await;
        let one = inbound(2, &conversation);
        store.commit(owner.cycle(Writes::default().message(&one).0)).await.unwrap();
        owners.push((owner, conversation));
    }
    let mut commits = Vec::new();
    for (n, (owner, conversation)) in owners.iter_mut().enumerate() {
        // The second account gives two messages the same id of WhatsApp's.
        let wamid = if n == 1 { text("wamid.2") } else { text("wamid.3") };
        let message = Message { wamid: Some(wamid), ..inbound(3, conversation) };
        commits.push(owner.cycle(Writes::default().message(&message).0));
    }
    let [a, b, c]: [AccountCommit; 3] = commits.try_into().unwrap();
    let user = user();
    let (a, b, c, key) =
        tokio::join!(store.commit(a), store.commit(b), store.commit(c), store.insert_user(&user));
    a.and(c).and(key).unwrap();
    assert!(matches!(b, Err(StoreError::Refused(_))), "{b:?}");
    for (n, (owner, conversation)) in owners.iter().enumerate() {
        let id = inbound(3, conversation).id;
        assert_eq!(store.find_message(owner.number, id).await.unwrap().is_some(), n != 1);
        let now = store.activate_account(owner.number, NODE, 9, CommitFloor::NONE).await.unwrap().unwrap();
        assert_eq!(now.revision, if n == 1 { 2 } else { 3 });
    }
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_gave_up_has_committed_all_the_same() {
    let (store, guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let new = contact(5);
    let commit = owner.cycle(Writes::default().contact(&new).0);
    tokio::select! {
        biased;
        _ = store.commit(commit) => panic!("the writer has not had its turn yet"),
        () = std::future::ready(()) => {}
    }
    // Closing finishes what waits.
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.insert_user(&user()).await, Err(StoreError::Unavailable(_))));
    let store = guard.open().await;
    assert_eq!(store.find_contact(owner.number, new.id).await.unwrap().as_deref(), Some(&new));
}

#[tokio::test]
async fn an_owner_starts_from_the_newest_conversations() {
    let (store, _guard) = store().await;
    store.insert_user(&user()).await.unwrap();
    assert!(store.activate_account(404, NODE, 9, CommitFloor::NONE).await.unwrap().is_none());
    let mut owner = Owner::of(&store, 1).await;
    let fresh = store.activate_account(owner.number, NODE, 0, CommitFloor::NONE).await.unwrap().unwrap();
    assert!(fresh.complete && fresh.conversations.is_empty() && !fresh.has_pending);
    assert_eq!((fresh.revision, fresh.sequence, fresh.last_commit_at), (0, 0, Timestamp::EPOCH));
    owner.epoch = fresh.epoch;

    let mut all = Vec::new();
    let mut writes = Writes::default();
    for n in 1..=6 {
        let contact = contact(n);
        let assignee = Some(Arc::new(user()));
        // Rows of one instant are ordered by id.
        let updated_at = at((n / 2).into());
        let row = Conversation { assignee, updated_at, ..conversation(n, &contact) };
        writes = writes.contact(&contact).conversation(&row);
        all.push(row);
    }
    store.commit(owner.cycle(writes.0)).await.unwrap();
    all.reverse();
    for max in [0, 1, 5, 6, 7] {
        let got = store.activate_account(owner.number, NODE, max, CommitFloor::NONE).await.unwrap().unwrap();
        let rows: Vec<Conversation> = got.conversations.iter().map(|row| (**row).clone()).collect();
        assert_eq!(rows, all[..max.min(6)]);
        assert_eq!(got.complete, max >= 6, "{max}");
        assert!(!got.has_pending);
    }
    let pending = message(1, &all[5]);
    let mut owner = Owner::again(&store, owner.number).await;
    store.commit(owner.cycle(Writes::default().message(&pending).0)).await.unwrap();
    assert!(
        store.activate_account(owner.number, NODE, 1, CommitFloor::NONE).await.unwrap().unwrap().has_pending
    );
}

#[tokio::test]
async fn the_accounts_own_row_changes_with_a_commit() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let before = store.activate_account(owner.number, NODE, 0, CommitFloor::NONE).await.unwrap().unwrap();
    owner.epoch = before.epoch;
    let degraded = Account {
        status: AccountStatus::Degraded,
        status_reason: Some(text("no payment method")),
        recovery: Some(crate::domain::account::AccountRecovery {
            failures: 2,
            next_at: Timestamp::from_millis(9),
            trial: true,
        }),
        profile: AccountProfile {
            waba_id: Some(text("77")),
            quality_rating: Some(text("GREEN")),
            messaging_limit_tier: Some(text("TIER_1K")),
            verified_name: Some(text("Toko")),
            name_status: Some(text("APPROVED")),
        },
        access_token: Secret::new("new"),
        app_secret: None,
        messages_per_second: 1,
        ..(*before.account).clone()
    };
    let changes = AccountChanges { account: Some(Arc::new(degraded.clone())), ..AccountChanges::default() };
    store.commit(owner.cycle(changes)).await.unwrap();
    assert_eq!(store.directory().await.unwrap().accounts, std::slice::from_ref(&degraded));
    assert_eq!(store.accounts_of_waba("77").await.unwrap(), [degraded.phone_number_id]);
    assert!(store.accounts_of_waba("7").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_accounts_at_once_keep_gapless_logs() {
    const ACCOUNTS: u32 = 12;
    const COMMITS: u32 = 30;
    let (store, _guard) = store().await;
    let tasks = tokio_util::task::TaskTracker::new();
    let mut owners = Vec::new();
    for n in 1..=ACCOUNTS {
        let mut owner = Owner::of(&store, n).await;
        owners.push(owner.number);
        let store = store.clone();
        tasks.spawn(async move {
            let (_, conversation, _) = thread(&store, &mut owner, 1).await;
            for n in 2..=COMMITS {
                let writes = Writes::default().message(&message(n, &conversation));
                store.commit(owner.cycle(writes.0)).await.unwrap();
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    for number in owners {
        let events = store.events_after(number, 0, 999).await.unwrap();
        let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, (1..=i64::from(COMMITS)).collect::<Vec<i64>>());
        let now = store.activate_account(number, NODE, 9, CommitFloor::NONE).await.unwrap().unwrap();
        assert_eq!((now.revision, now.sequence), (COMMITS.into(), COMMITS.into()));
        let all = MessageQuery { limit: PageLimit::new(100).unwrap(), ..MessageQuery::default() };
        assert_eq!(store.page_messages(number, &all, NO_ERASURE).await.unwrap().rows.len(), 30);
    }
}

#[tokio::test]
async fn foreign_rows_are_errors_that_name_their_place() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (contact, conversation, message) = thread(&store, &mut owner, 1).await;
    let number = owner.number;
    for (sql, place) in [
        ("UPDATE messages SET status = 'played'", format!("messages.status of \"{}\"", message.id)),
        ("UPDATE messages SET history = '[[1]]', status = 'sent'", "messages.history".into()),
        ("UPDATE messages SET history = '[]', id = 'x'", "messages.id".into()),
    ] {
        store.write_for_server().write_statement(sql, Vec::new()).await.unwrap();
        let error = store
            .page_messages(number, &crate::domain::page::MessageQuery::default(), NO_ERASURE)
            .await
            .unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains(&place)), "{error:?}");
    }
    let foreign = r#"UPDATE contacts SET identity = '{"n":[["1",null,1,1]]}'"#;
    store.write_for_server().write_statement(foreign, Vec::new()).await.unwrap();
    let errors = [
        store.find_contact(number, contact.id).await.err(),
        store.find_conversation(number, conversation.id).await.err(),
        store.activate_account(number, NODE, 9, CommitFloor::NONE).await.err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(StoreError::Corrupt(_))), "{error:?}");
    }
    store.write_for_server().write_statement("DELETE FROM contacts", Vec::new()).await.unwrap();
    let error = store.find_conversation(number, conversation.id).await.err();
    assert!(matches!(error, Some(StoreError::Corrupt(_))), "{error:?}");
}
