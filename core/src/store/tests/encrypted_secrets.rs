//! Secrets in the database: encrypted for their row, under the keys of a file, and encrypted anew by a rotation.

use std::sync::Arc;

use super::delivery_work::{secret, subscription};
use super::*;
use crate::encryption::{EncryptionKeyId, KeyError};
use crate::store::{IdempotencyRecord, KeyState, RecordedBody};

/// Secrets that [`fill`] stores.
const TOKEN: &str = "EAAG-token-of-the-account";
const APP_SECRET: &str = "app-secret-of-the-account";
const ANSWER: &str = r#"{"data":{"secret":"shown-once"}}"#;

fn with_secrets(n: u32) -> Account {
    Account { access_token: Secret::new(TOKEN), app_secret: Some(Secret::new(APP_SECRET)), ..account(n) }
}

fn answer() -> IdempotencyRecord {
    IdempotencyRecord {
        organisation_id: account(1).organisation_id,
        key: text("key/with a slash"),
        fingerprint: [7; 32],
        status: 201,
        body: RecordedBody::Secret(Secret::new(ANSWER)),
        created_at: at(5),
        claimed_by: None,
        contact_id: None,
    }
}

async fn fill(store: &Store) {
    store.insert_account(with_secrets(1)).await.unwrap();
    store.insert_subscription(&subscription(1), Some(&answer())).await.unwrap();
    let mut plugin = super::plugins::plugin(1);
    plugin.secrets = Arc::new([(text("PASSWORD"), Secret::new("hunter2-of-the-plugin"))].into());
    store.insert_plugin(&plugin).await.unwrap();
}

/// Checks that everything [`fill`] stored can be read.
async fn check_readable(store: &Store) {
    let accounts = store.load_accounts().await.unwrap();
    assert!(accounts[0].access_token.reveal() == TOKEN);
    assert!(accounts[0].app_secret.as_ref().is_some_and(|secret| secret.reveal() == APP_SECRET));
    assert_eq!(store.load_subscriptions().await.unwrap()[0].secrets, [secret(10)]);
    let plugins = store.load_plugins().await.unwrap();
    assert_eq!(plugins[0].secrets["PASSWORD"].reveal(), "hunter2-of-the-plugin");
    let answer = answer();
    let state = store.idempotency_key(answer.organisation_id, &answer.key, at(0)).await.unwrap();
    assert_eq!(state, KeyState::Answered(answer));
}

/// Every text of a column.
async fn values(store: &Store, sql: &'static str) -> Vec<String> {
    let rows = store.read_for_server().fetch_rows(sql, Vec::new()).await.unwrap();
    rows.iter().map(|row| row.read_fields("t").take_text().unwrap()).collect()
}

async fn all_values(store: &Store) -> Vec<String> {
    values(
        store,
        "SELECT value FROM server_secrets UNION ALL SELECT access_token FROM accounts UNION ALL \
         SELECT app_secret FROM accounts UNION ALL SELECT secret FROM webhook_secrets UNION ALL \
         SELECT secrets FROM plugins UNION ALL SELECT body FROM idempotency_records",
    )
    .await
}

#[tokio::test]
async fn secrets_are_stored_encrypted_and_come_back() {
    let (store, guard) = store().await;
    fill(&store).await;
    check_readable(&store).await;
    let prefix = store.keys().writing_key().value_prefix();
    let stored = all_values(&store).await;
    assert!(stored.len() >= 8, "the server's own among them");
    assert!(stored.iter().all(|value| value.starts_with(&prefix)), "{stored:?}");

    let number = store.load_accounts().await.unwrap()[0].number;
    let mut commit = Owner::again(&store, number).await.cycle(AccountChanges::default());
    let changed = Account { access_token: Secret::new("EAAG-next"), ..with_secrets(1) };
    commit.changes.account = Some(Arc::new(changed));
    commit.records.push(answer());
    commit.records[0].key = text("of a commit");
    store.commit(commit).await.unwrap();
    assert_eq!(store.load_accounts().await.unwrap()[0].access_token.reveal(), "EAAG-next");
    let committed = store.idempotency_key(account(1).organisation_id, "of a commit", at(0)).await.unwrap();
    assert!(matches!(committed, KeyState::Answered(record) if record.body == answer().body));
    assert!(all_values(&store).await.iter().all(|value| value.starts_with(&prefix)));
    store.close().await;
    let again = guard.open().await;
    assert_eq!(again.load_plugins().await.unwrap()[0].secrets.len(), 1);
    again.delete_plugin(super::plugins::plugin(1).id, at(9)).await.unwrap();
    assert_eq!(values(&again, "SELECT secrets FROM plugins").await, [""], "nothing of it stays");
}

#[tokio::test]
async fn values_that_were_moved_to_another_row_are_corrupt() {
    let (store, _guard) = store().await;
    store.insert_account(with_secrets(1)).await.unwrap();
    store
        .insert_account(Account { access_token: Secret::new("EAAG-of-two"), ..with_secrets(2) })
        .await
        .unwrap();
    let swap = "UPDATE accounts SET access_token = \
                (SELECT b.access_token FROM accounts b WHERE b.number <> accounts.number)";
    store.write_for_server().write_statement(swap, Vec::new()).await.unwrap();
    let refused = store.load_accounts().await.unwrap_err();
    assert!(refused.to_string().contains("was not encrypted for this row"), "{refused}");
    let swap_columns = "UPDATE accounts SET access_token = app_secret";
    store.write_for_server().write_statement(swap_columns, Vec::new()).await.unwrap();
    assert!(matches!(store.load_accounts().await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_database_opens_with_a_key_of_its_own_alone() {
    let guard = Guard::sqlite();
    guard.open().await.close().await;
    let key = guard.options().keys.path().to_owned();
    let kept = std::fs::read(&key).unwrap();
    let refused = async || match Store::open(&guard.url(), guard.options()).await {
        Err(StoreError::Keys(error)) => error,
        other => panic!("{other:?}"),
    };
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(refused().await, KeyError::Missing { .. }));
    assert!(!key.exists(), "another key would open nothing");
    std::fs::write(&key, std::fs::read(test_keys().path()).unwrap()).unwrap();
    let error = refused().await;
    assert!(matches!(error, KeyError::Unknown { .. }), "{error:?}");
    std::fs::write(&key, kept).unwrap();
    guard.open().await.close().await;
}

/// Lines of the file of a SQLite guard.
fn lines(guard: &Guard) -> Vec<String> {
    let text = std::fs::read_to_string(guard.options().keys.path()).unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn rotate(store: &Store, next: EncryptionKeyId) -> u64 {
    assert!(store.keys().write_under(next));
    store.flush_writes().await.unwrap();
    store.encrypt_secrets_anew().await.unwrap()
}

#[tokio::test]
async fn a_rotation_leaves_no_value_under_an_older_key() {
    let guard = Guard::sqlite();
    let store = guard.open().await;
    fill(&store).await;
    let (first, versions) = (store.keys().writing_key(), async |store: &Store| {
        (
            store.load_plugins().await.unwrap()[0].row_version,
            store.load_subscriptions().await.unwrap()[0].row_version,
        )
    });
    let before = versions(&store).await;
    assert!(!store.has_secrets_beside(first).await.unwrap());
    let next = store.keys().choose_next(None, false).unwrap();
    assert!(store.has_secrets_beside(next).await.unwrap());
    let stored = u64::try_from(all_values(&store).await.len()).unwrap();
    assert_eq!(rotate(&store, next).await, stored);
    assert_eq!(rotate(&store, next).await, 0);
    assert!(!store.has_secrets_beside(next).await.unwrap());
    assert!(all_values(&store).await.iter().all(|value| value.starts_with(&next.value_prefix())));
    check_readable(&store).await;
    assert_eq!(versions(&store).await, before, "no row means anything else");
    store.close().await;
    // The older key opens nothing any more.
    let newest = lines(&guard)[0].clone();
    std::fs::write(guard.options().keys.path(), newest).unwrap();
    check_readable(&guard.open().await).await;
}

#[tokio::test]
async fn a_rotation_finds_answers_through_an_index() {
    let store = Guard::sqlite();
    let store = store.open().await;
    for sql in super::super::key_rotation::statements_about("idempotency_records") {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let rows =
            store.read_for_server().fetch_rows(sql, vec!["a".into(), "b".into(), "c".into()]).await.unwrap();
        let mut fields = rows[0].read_fields("plan");
        let (_id, _parent, _unused) = (fields.take_int(), fields.take_int(), fields.take_int());
        let step = fields.take_text().unwrap();
        assert!(step.contains("idempotency_secrets"), "{step}");
    }
}

#[tokio::test]
async fn nodes_follow_a_rotation_phase_by_phase() {
    let (store, _guard) = store().await;
    if !store.is_shared() {
        return;
    }
    let key = store.keys().writing_key();
    let next = EncryptionKeyId::parse("0123456789abcdef").unwrap();
    let prepare = KeyRotation { key_id: next, phase: RotationPhase::Prepare };
    let write = KeyRotation { key_id: next, phase: RotationPhase::Write };
    let revision = store.directory_revision().await.unwrap();
    store.announce_rotation(Some(prepare)).await.unwrap();
    assert_eq!(store.find_rotation().await.unwrap(), Some(prepare));
    assert!(store.directory_revision().await.unwrap() > revision);
    let behind = async |rotation| store.nodes_behind(rotation).await.unwrap().len();
    assert_eq!(behind(prepare).await, 1, "it has told nothing");
    store.report_keys(NODE, &[key]).await.unwrap();
    assert_eq!(behind(prepare).await, 1);
    store.report_keys(NODE, &[key, next]).await.unwrap();
    assert_eq!((behind(prepare).await, behind(write).await), (0, 1));
    store.announce_rotation(Some(write)).await.unwrap();
    store.report_keys(NODE, &[next, key]).await.unwrap();
    assert_eq!((behind(prepare).await, behind(write).await), (0, 0));
    store.announce_rotation(None).await.unwrap();
    assert_eq!(store.find_rotation().await.unwrap(), None);
}
