//! Spans of the store: each statement and transaction has one, and none tells what is stored.

use kabar_core::domain::organisation::User;
use kabar_core::domain::time::Timestamp;
use kabar_core::encryption::KeySource;
use kabar_core::ids::{OrganisationId, UserId};
use kabar_core::store::{Store, StoreOptions};
use tempfile::TempDir;

use crate::harness::SpanRecorder;

async fn write_and_read(store: &Store) {
    let user = User {
        id: UserId::from_bits(1),
        organisation_id: OrganisationId::from_bits(1),
        name: "Ayu".into(),
        email: None,
        created_at: Timestamp::EPOCH,
    };
    store.insert_user(&user).await.unwrap();
    assert!(store.find_organisation(user.organisation_id).await.unwrap().is_none());
}

/// The fields of the spans of this name.
fn fields_of(recorder: &SpanRecorder, name: &str) -> Vec<String> {
    let spans = recorder.spans_of(name).into_iter();
    let fields =
        spans.map(|span| span.fields.iter().map(|(name, value)| format!("{name}={value}")).collect());
    fields.map(|fields: Vec<String>| fields.join(" ")).collect()
}

#[tokio::test]
async fn statements_and_transactions_have_spans_without_values() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("spans.db").display());
    let keys = KeySource::Own(folder.path().join("spans.db.key"));
    let store = Store::open(&url, StoreOptions::with_keys(keys)).await.unwrap();
    let (recorder, _recording) = SpanRecorder::start();
    write_and_read(&store).await;
    assert_eq!(fields_of(&recorder, "db.read"), ["statement=SELECT organisations"]);
    assert_eq!(fields_of(&recorder, "db.commit"), ["jobs=1"]);
    let statements = ["statement=BEGIN", "statement=INSERT users", "statement=COMMIT"];
    assert_eq!(fields_of(&recorder, "db.write"), statements);
    store.close().await;
}
