//! What holds for SQLite alone: its file and its faults.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _};

use super::*;
use crate::store::engine::EngineTimeouts;

/// Long enough for a lock to be noticed, short enough for a test.
const TIMEOUTS: EngineTimeouts =
    EngineTimeouts { lock: Duration::from_millis(50), statement: Duration::from_secs(3) };

async fn open(folder: &std::path::Path) -> Store {
    let url = format!("sqlite://{}/kabar.db", folder.display());
    let keys = KeySource::Own(folder.join("kabar.db.key"));
    Store::open(&url, StoreOptions::with_keys(keys)).await.unwrap()
}

async fn impatient() -> (Store, Guard) {
    let guard = Guard::sqlite();
    let store = Store::open_within(&guard.url(), guard.options(), TIMEOUTS).await.unwrap();
    (store, guard)
}

#[tokio::test]
async fn a_locked_file_takes_writes_again_once_it_is_free() {
    let (store, guard) = impatient().await;
    let (mut a, mut b) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    let options: sqlx::sqlite::SqliteConnectOptions = guard.url().parse().unwrap();
    let mut other = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();

    let new = contact(1);
    let (of_a, of_b) =
        (a.cycle(Writes::default().contact(&new).0), b.cycle(Writes::default().contact(&new).0));
    let (first, second) = tokio::join!(store.commit(of_a.clone()), store.commit(of_b.clone()));
    for failed in [first, second, store.ping().await] {
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    }
    assert_eq!(store.find_contact(a.number, new.id).await.unwrap(), None);

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.ping().await.unwrap();
    // The very same commits go through: nothing of them was written.
    let (first, second) = tokio::join!(store.commit(of_a), store.commit(of_b));
    first.and(second).unwrap();
    assert!(store.find_contact(a.number, new.id).await.unwrap().is_some());
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_left_behind() {
    let (store, _guard) = impatient().await;
    let mut owner = Owner::of(&store, 1).await;
    let (contact, _, _) = thread(&store, &mut owner, 1).await;
    // No page more than there are: SQLite answers as it does when the disk is full.
    store.write_for_server().write_statement("PRAGMA max_page_count = 1", Vec::new()).await.unwrap();
    let large = Contact { metadata: "x".repeat(1 << 20).into(), ..super::contact(2) };
    let commit = owner.cycle(Writes::default().contact(&large).0);
    let failed = store.commit(commit.clone()).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert!(store.writer.is_failing());
    assert_eq!(store.find_contact(owner.number, contact.id).await.unwrap().as_deref(), Some(&contact));
    store.ping().await.unwrap();
    assert!(!store.writer.is_failing());
    store.commit(commit).await.unwrap();
    assert_eq!(store.find_contact(owner.number, large.id).await.unwrap().as_deref(), Some(&large));
}

#[tokio::test]
async fn the_file_is_its_owners_and_survives_a_crash() {
    let here = TempDir::new().unwrap();
    let folder = here.path().join("a folder");
    let store = open(&folder).await;
    let mut owner = Owner::of(&store, 1).await;
    let (contact, ..) = thread(&store, &mut owner, 1).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{entry:?}");
        }
    }
    // What lies on the disk at this moment is what a power cut would leave.
    let copy = TempDir::new().unwrap();
    for name in ["kabar.db", "kabar.db-wal", "kabar.db.key"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let copied = open(copy.path()).await;
    assert_eq!(copied.find_contact(owner.number, contact.id).await.unwrap().as_deref(), Some(&contact));

    store.close().await;
    let log = std::fs::metadata(folder.join("kabar.db-wal")).map_or(0, |file| file.len());
    assert_eq!(log, 0, "closing moves the log into the file");
}

#[tokio::test]
async fn the_log_is_moved_into_the_file_while_the_store_is_open() {
    let guard = Guard::sqlite();
    let store = guard.open().await;
    let mut owner = Owner::of(&store, 1).await;
    for n in 1..=20 {
        let large = Contact { metadata: "x".repeat(1 << 20).into(), ..contact(n) };
        store.commit(owner.cycle(Writes::default().contact(&large).0)).await.unwrap();
    }
    let options: sqlx::sqlite::SqliteConnectOptions = guard.url().parse().unwrap();
    let mut other = options.connect().await.unwrap();
    let look = "PRAGMA wal_checkpoint(NOOP)";
    let (mut moved, mut log) = (0, 0);
    while moved == 0 {
        (_, log, moved) = sqlx::query_as::<_, (i64, i64, i64)>(look).fetch_one(&mut other).await.unwrap();
    }
    assert!(log > 4096, "no commit of so few has moved it: {log}");
    other.close().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_opened_says_so() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().display();
    std::fs::write(folder.path().join("text.db"), "not a database, but long enough to look like one")
        .unwrap();
    for url in [
        "sqlite::memory:".to_owned(),
        "sqlite://x?mode=memory".to_owned(),
        format!("sqlite://{place}"),
        format!("sqlite://{place}/text.db"),
        format!("sqlite://{place}/text.db/below.db"),
        "mysql://x".to_owned(),
    ] {
        let opened = Store::open(&url, StoreOptions::with_keys(test_keys())).await;
        assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{url}: {opened:?}");
    }
}

#[tokio::test]
async fn a_file_has_one_server() {
    let (store, guard) = impatient().await;
    let here = store.lock_database(true, None).await.unwrap().unwrap();
    let other = guard.open().await;
    assert!(other.lock_database(true, None).await.unwrap().is_none());
    drop(here);
    other.lock_database(true, None).await.unwrap().unwrap().check_held().await.unwrap();
}

/// Computes for ever.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[tokio::test]
async fn a_statement_has_a_deadline_and_changes_nothing_beyond_it() {
    let guard = Guard::sqlite();
    let timeouts = EngineTimeouts { statement: Duration::from_millis(50), ..EngineTimeouts::default() };
    let store = Store::open_within(&guard.url(), StoreOptions { readers: 1, ..guard.options() }, timeouts)
        .await
        .unwrap();
    let read = store.read_for_server().fetch_rows(ENDLESS, Vec::new()).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{:?}", read.is_ok());
    let written = format!("INSERT INTO probes (id, written) SELECT 2, ({ENDLESS})");
    let write = store.write_for_server().write_statement(written, Vec::new()).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{:?}", write.is_ok());
    assert!(store.writer.is_failing());
    store.ping().await.unwrap();
    let probes = store.read_for_server().fetch_rows("SELECT id FROM probes", Vec::new()).await.unwrap();
    assert_eq!(probes.len(), 1, "the connections work on, and nothing was written");
}

#[tokio::test]
async fn a_reader_that_nobody_waits_for_any_more_is_free_at_once() {
    let guard = Guard::sqlite();
    let timeouts = EngineTimeouts { statement: Duration::from_hours(1), ..EngineTimeouts::default() };
    let store = Store::open_within(&guard.url(), StoreOptions { readers: 1, ..guard.options() }, timeouts)
        .await
        .unwrap();
    let reads = store.read_for_server();
    let mut endless = Box::pin(reads.fetch_rows(ENDLESS, Vec::new()));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut endless).await.is_err());
    drop(endless);
    store.ping().await.unwrap();
    let mut snapshot = reads.begin_snapshot().await.unwrap();
    snapshot.fetch_rows("SELECT 1", Vec::new()).await.unwrap();
    drop(snapshot);
    store.ping().await.unwrap();
    store.close().await;
    assert!(store.ping().await.is_err(), "a closed store lends no reader");
}

#[tokio::test]
async fn a_tenant_that_reads_for_long_leaves_a_reader_to_the_others() {
    let guard = Guard::sqlite();
    let timeouts = EngineTimeouts { statement: Duration::from_hours(1), ..EngineTimeouts::default() };
    let store = Store::open_within(&guard.url(), StoreOptions { readers: 4, ..guard.options() }, timeouts)
        .await
        .unwrap();
    let [loud, quiet] = [1, 2].map(OrganisationId::from_bits);
    let mut endless: Vec<_> = (0..6)
        .map(|_| {
            let store = store.clone();
            let reading = async move { store.read_for(loud).fetch_rows(ENDLESS, Vec::new()).await };
            Box::pin(reading)
        })
        .collect();
    for read in &mut endless {
        assert!(futures_util::poll!(read.as_mut()).is_pending());
    }
    let readers = store.engine.readers();
    assert_eq!((readers.usage().held, readers.usage().waiting), (3, 3), "never the last one");
    for _ in 0..3 {
        assert_eq!(store.read_for(quiet).fetch_rows("SELECT 1", Vec::new()).await.unwrap().len(), 1);
    }
    assert_eq!((readers.usage().held, readers.usage().waiting), (3, 3));
    drop(endless);
    assert_eq!((readers.usage().held, readers.usage().waiting), (0, 0));
}
