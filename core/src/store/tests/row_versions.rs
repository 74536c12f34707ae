//! Rows that any node may change: a change is written only over the row that it was decided on.

use super::delivery_work::{secret, subscription};
use super::nouns::organisation;
use super::plugins::plugin;
use super::*;
use crate::domain::organisation::Organisation;
use crate::domain::plugin::{Plugin, PluginHealth};
use crate::domain::subscriber::SubscriberId;
use crate::domain::subscription::{Subscription, SubscriptionStatus};
use crate::store::{IdempotencyRecord, KeyState};

#[tokio::test]
async fn a_tenant_is_written_over_the_row_that_was_read() {
    let (store, _guard) = store().await;
    let read = organisation(1);
    store.insert_organisation(&read).await.unwrap();
    let renamed = Organisation { name: text("new"), ..read.clone() };
    let renamed = store.update_organisation(renamed).await.unwrap().unwrap();
    let late = Organisation { suspended: true, ..read.clone() };
    assert_eq!(store.update_organisation(late).await.unwrap(), None);
    assert_eq!(store.find_organisation(read.id).await.unwrap(), Some(renamed.clone()));
    let both = store.update_organisation(Organisation { suspended: true, ..renamed }).await.unwrap().unwrap();
    assert_eq!(store.find_organisation(read.id).await.unwrap(), Some(both));
    assert_eq!(store.update_organisation(organisation(2)).await.unwrap(), None);
}

#[tokio::test]
async fn a_subscription_is_written_over_the_row_that_was_read() {
    let (store, _guard) = store().await;
    let read = subscription(1);
    store.insert_subscription(&read, None).await.unwrap();
    let stands = async || store.find_subscription(read.id).await.unwrap().unwrap();
    assert_eq!(stands().await, read);
    let elsewhere = Subscription { description: None, ..read.clone() };
    let elsewhere = store.update_subscription(elsewhere).await.unwrap().unwrap();
    // Neither a change nor a secret that was decided on the row before.
    let late = Subscription { status: SubscriptionStatus::Paused, ..read.clone() };
    assert_eq!(store.update_subscription(late).await.unwrap(), None);
    let with_secret = |row: &Subscription| {
        let mut row = row.clone();
        row.secrets.push(secret(11));
        row
    };
    let record = IdempotencyRecord {
        organisation_id: read.organisation_id,
        key: text("k"),
        fingerprint: [7; 32],
        status: 201,
        body: "{}".into(),
        created_at: at(9),
        claimed_by: None,
        contact_id: None,
    };
    let key = async || store.idempotency_key(read.organisation_id, "k", at(0)).await.unwrap();
    let added = store.insert_signing_secret(with_secret(&read), at(50), Some(&record)).await.unwrap();
    assert_eq!((added, key().await, stands().await), (None, KeyState::Free, elsewhere.clone()));
    let added = store.insert_signing_secret(with_secret(&elsewhere), at(50), Some(&record)).await.unwrap();
    let added = added.unwrap();
    assert_eq!(key().await, KeyState::Answered(record.clone()));
    assert_eq!((stands().await.secrets.len(), stands().await.row_version), (2, added.row_version));
    // What is refused for another reason says so.
    let mut third = with_secret(&added);
    third.secrets.push(secret(12));
    let refused = store.insert_signing_secret(third, at(50), Some(&record)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    // What the server notes counts as a change, and of a deleted one nothing is written.
    let noted = store.note_deaths(read.id, false, 1).await.unwrap().unwrap();
    assert_eq!(store.update_subscription(added).await.unwrap(), None);
    assert_eq!(stands().await.row_version, noted.row_version);
    let last = stands().await;
    store.delete_subscription(read.id, at(10)).await.unwrap();
    assert_eq!(store.update_subscription(last.clone()).await.unwrap(), None);
    let mut last = last;
    last.secrets.push(secret(13));
    assert_eq!(store.insert_signing_secret(last, at(50), None).await.unwrap(), None);
    assert_eq!(store.find_subscription(read.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_plugin_is_written_over_the_row_that_was_read() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    thread(&store, &mut owner, 1).await;
    let read = Plugin { active_version: None, ..plugin(1) };
    let running = |row: &Plugin| Plugin { active_version: plugin(1).active_version, ..row.clone() };
    let cursor = async || {
        store.delivery_cursor(SubscriberId::Hook(read.id), owner.number).await.unwrap().unwrap().cursor
    };
    store.insert_plugin(&read).await.unwrap();
    let renamed = Plugin { name: text("new"), ..read.clone() };
    let renamed = store.update_plugin(&read, renamed).await.unwrap().unwrap();
    assert_eq!(store.update_plugin(&read, running(&read)).await.unwrap(), None);
    assert_eq!((cursor().await, store.find_plugin(read.id).await.unwrap()), (0, Some(renamed.clone())));
    // How it fares is a change as well.
    let version = store.set_plugin_standing(read.id, &PluginHealth::paused_since(at(5))).await.unwrap();
    assert_eq!(store.update_plugin(&renamed, running(&renamed)).await.unwrap(), None);
    let stands = store.find_plugin(read.id).await.unwrap().unwrap();
    assert_eq!((Some(stands.row_version), cursor().await), (version, 0));
    let last = store.update_plugin(&stands, running(&stands)).await.unwrap().unwrap();
    assert_eq!((cursor().await, &last.name, last.standing.state), (1, &renamed.name, stands.standing.state));
    store.delete_plugin(read.id, at(9)).await.unwrap();
    assert_eq!(store.update_plugin(&last, last.clone()).await.unwrap(), None);
    assert_eq!(store.set_plugin_standing(read.id, &PluginHealth::active_since(at(9))).await.unwrap(), None);
}
