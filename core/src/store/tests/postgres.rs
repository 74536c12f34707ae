//! What holds for PostgreSQL alone: connections that die under the store, a server that falls silent,
//! and servers that do not fit.

use sqlx::PgConnection;

use super::*;
use crate::store::engine::EngineTimeouts;

/// A store whose connections can be told from those of other tests, and somebody else's connection.
async fn named() -> (Store, Guard, PgConnection) {
    let Guard::Postgres(url) = Guard::postgres().await else { unreachable!() };
    let name = format!("{:032x}", rand::random::<u128>());
    let guard = Guard::Postgres(format!("{url}&application_name={name}"));
    let other = PgConnection::connect(&url).await.unwrap();
    (guard.open().await, guard, other)
}

/// Ends every connection of the store, as a restart of the server does; says how many there were.
async fn cut(guard: &Guard, other: &mut PgConnection) -> i64 {
    let url = guard.url();
    let (_, name) = url.rsplit_once('=').unwrap();
    let sql =
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = $1";
    sqlx::query_scalar(sql).bind(name).fetch_one(other).await.unwrap()
}

/// How many wait for the contacts.
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'contacts'::regclass";

#[tokio::test]
async fn connections_that_died_while_idle_fail_nobody() {
    let (store, guard, mut other) = named().await;
    let mut owner = Owner::of(&store, 1).await;
    let (contact, ..) = thread(&store, &mut owner, 1).await;
    assert!(cut(&guard, &mut other).await >= 2, "one that writes, and one that reads");
    let next = Writes::default().contact(&super::contact(2)).0;
    store.commit(owner.cycle(next)).await.unwrap();
    assert!(cut(&guard, &mut other).await >= 1);
    assert_eq!(store.find_contact(owner.number, contact.id).await.unwrap().as_deref(), Some(&contact));
    assert!(cut(&guard, &mut other).await >= 1);
    let again = store.activate_account(owner.number, NODE, 10, CommitFloor::NONE).await.unwrap().unwrap();
    assert_eq!((again.revision, again.sequence), (owner.revision, owner.sequence));
    store.close().await;
}

/// Returns once a write waits for a lock.
async fn until_waiting(other: &mut PgConnection) {
    while sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut *other).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_write_cut_off_in_the_middle_is_undone_and_the_same_write_goes_through() {
    let (store, guard, mut other) = named().await;
    let mut owner = Owner::of(&store, 1).await;
    // The commit waits for this lock, so that the cut comes while it is under way.
    sqlx::raw_sql("BEGIN; LOCK TABLE contacts IN EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let contact = contact(1);
    let commit = owner.cycle(Writes::default().contact(&contact).0);
    let cutting = async {
        until_waiting(&mut other).await;
        cut(&guard, &mut other).await
    };
    let (failed, _) = tokio::join!(store.commit(commit.clone()), cutting);
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert!(store.writer.is_failing());
    assert_eq!(store.find_contact(owner.number, contact.id).await.unwrap(), None);

    // Somebody who holds a lock for long is an unavailable database too.
    let refused = store.ping().await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    refused.unwrap();
    assert!(!store.writer.is_failing());
    store.commit(commit).await.unwrap();
    assert_eq!(store.find_contact(owner.number, contact.id).await.unwrap().as_deref(), Some(&contact));
}

#[tokio::test]
async fn a_write_whose_connection_broke_is_written_once() {
    let (store, guard, mut other) = named().await;
    let mut owner = Owner::of(&store, 1).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE contacts IN EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let contact = contact(1);
    let commit = owner.cycle(Writes::default().contact(&contact).0);
    let cutting = async {
        until_waiting(&mut other).await;
        assert!(cut(&guard, &mut other).await >= 1);
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    };
    let (written, ()) = tokio::join!(store.commit(commit), cutting);
    written.unwrap();
    assert!(!store.writer.is_failing());
    let now = store.activate_account(owner.number, NODE, 10, CommitFloor::NONE).await.unwrap().unwrap();
    assert_eq!((now.revision, now.sequence), (owner.revision, owner.sequence));
    assert_eq!(store.find_contact(owner.number, contact.id).await.unwrap().as_deref(), Some(&contact));
}

#[tokio::test]
async fn a_lock_held_too_long_is_an_unavailable_database() {
    let guard = Guard::postgres().await;
    let timeouts = EngineTimeouts { lock: std::time::Duration::from_millis(50), ..EngineTimeouts::default() };
    let _node = guard.open().await;
    let store = Store::open_within(&guard.url(), guard.options(), timeouts).await.unwrap();
    let mut owner = Owner::of(&store, 1).await;
    let mut other = PgConnection::connect(&guard.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE probes, contacts IN EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let contact = contact(1);
    let commit = owner.cycle(Writes::default().contact(&contact).0);
    for failed in [store.commit(commit.clone()).await, store.ping().await] {
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    }
    assert_eq!(store.find_contact(owner.number, contact.id).await.unwrap(), None, "reads go on");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    store.ping().await.unwrap();
    store.commit(commit).await.unwrap();
}

#[tokio::test]
async fn two_stores_of_one_database_see_each_other_and_never_both_commit() {
    let guard = Guard::postgres().await;
    let (one, two) = (guard.open().await, guard.open().await);
    assert_eq!(one.secrets().cursor_key, two.secrets().cursor_key);
    let mut first = Owner::of(&one, 1).await;
    let (contact, ..) = thread(&one, &mut first, 1).await;
    assert_eq!(two.find_contact(first.number, contact.id).await.unwrap().as_deref(), Some(&contact));
    let mut second = Owner::again(&two, first.number).await;
    let (mine, theirs) = (super::contact(2), super::contact(3));
    let late = one.commit(first.cycle(Writes::default().contact(&mine).0)).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    two.commit(second.cycle(Writes::default().contact(&theirs).0)).await.unwrap();
    assert_eq!(one.find_contact(first.number, mine.id).await.unwrap(), None);
    assert!(one.find_contact(first.number, theirs.id).await.unwrap().is_some());
}

#[tokio::test]
async fn writes_are_flushed_whatever_the_database_says() {
    let guard = Guard::postgres().await;
    let url = guard.url() + "&options[synchronous_commit]=off";
    let store = Store::open(&url, guard.options()).await.unwrap();
    let sql = "SELECT current_setting('synchronous_commit'), current_setting('statement_timeout')";
    let rows = store.write_for_server().write_statement(sql, Vec::new()).await.unwrap();
    let mut fields = rows.first().unwrap().read_fields("settings");
    assert_eq!((fields.take_text().unwrap().as_str(), fields.take_text().unwrap().as_str()), ("on", "3s"));
}

#[tokio::test]
async fn ids_sort_byte_by_byte_whatever_the_locale() {
    let (store, _guard, mut other) = named().await;
    // A locale's order would put the small letters first, and ignore the underscore.
    let sql = "SELECT string_agg(id, ' ' ORDER BY id) FROM (VALUES ('b_'::ctext), ('B'), ('a'), ('_')) v(id)";
    let sorted: String = sqlx::query_scalar(sql).fetch_one(&mut other).await.unwrap();
    assert_eq!(sorted, "B _ a b_");
    let collated = "SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema() \
                    AND table_name NOT LIKE '\\_sqlx%' AND data_type = 'text' AND domain_name IS NULL";
    let other_texts: i64 = sqlx::query_scalar(collated).fetch_one(&mut other).await.unwrap();
    assert_eq!(other_texts, 0, "every text of the schema is a ctext");
    store.close().await;
}

#[tokio::test]
async fn what_does_not_fit_says_so() {
    let Guard::Postgres(url) = Guard::postgres().await else { unreachable!() };
    let mut other = PgConnection::connect(&url).await.unwrap();
    let name = format!("latin_{:032x}", rand::random::<u128>());
    let sql = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, why) in [
        (format!("{server}/{name}"), "UTF8"),
        (format!("{server}/does_not_exist"), "does not exist"),
        (format!("postgres://kabar@{closed}/kabar"), "refused"),
    ] {
        let opened = Store::open(&url, StoreOptions::with_keys(test_keys())).await;
        let Err(StoreError::Unavailable(error)) = opened else { panic!("{url}: {opened:?}") };
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// The place, alone, as soon as the server has noticed that whoever had it has gone.
async fn entered(store: &Store) -> crate::store::DatabaseLock {
    loop {
        if let Some(entered) = store.lock_database(true, None).await.unwrap() {
            return entered;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_place_lasts_as_long_as_its_connection() {
    let (one, guard, mut other) = named().await;
    let two = guard.open().await;
    let mut alone = one.lock_database(true, None).await.unwrap().unwrap();
    alone.check_held().await.unwrap();
    for beside in [true, false] {
        assert!(two.lock_database(beside, None).await.unwrap().is_none());
    }
    cut(&guard, &mut other).await;
    assert!(alone.check_held().await.is_err());
    // Who comes back learns whether somebody was there in between.
    let again = one.lock_database(true, Some(&alone.current_tenure())).await.unwrap().unwrap();
    assert!(again.follows_directly(&alone.current_tenure()));
    // It needs not wait until the server has noticed the end of its own connection.
    let last = again.current_tenure();
    let held = again;
    let again = one.lock_database(true, Some(&last)).await.unwrap().unwrap();
    drop(held);
    let last = again.current_tenure();
    drop(again);
    drop(entered(&two).await);
    assert!(!entered(&one).await.follows_directly(&last));
    cut(&guard, &mut other).await;
    // Nodes share it with each other, and with nobody who wants to be alone.
    let _nodes = (
        one.lock_database(false, None).await.unwrap().unwrap(),
        two.lock_database(false, None).await.unwrap().unwrap(),
    );
    assert!(one.lock_database(true, None).await.unwrap().is_none());
}

#[tokio::test]
async fn an_account_changes_hands_only_when_its_owner_is_gone() {
    let guard = Guard::postgres().await;
    let store = guard.open().await;
    let number = Owner::of(&store, 1).await.number;
    store.remove_node(NODE).await.unwrap();
    let (a, b) = (NodeId::from_bits(10), NodeId::from_bits(11));
    let (lease, floor) = (Duration::from_mins(1), CommitFloor::NONE);
    let joins = |node, address| store.insert_node(node, address, "process", lease);
    for (node, address) in [(a, "http://a"), (b, "http://b")] {
        assert_eq!(joins(node, address).await.unwrap(), NodeEntry::Entered);
    }
    let epoch = store.activate_account(number, a, 1, floor).await.unwrap().unwrap().epoch;
    let refused = store.activate_account(number, b, 1, floor).await;
    assert!(matches!(&refused, Err(StoreError::Elsewhere(peer)) if peer.id == a), "{refused:?}");
    // It found the lease of the owner over, and the owner has renewed it since.
    let late = store.become_owner(number, b, epoch, floor).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let seen = store.find_owner(number, b).await.unwrap().unwrap();
    assert_eq!((seen.id, &*seen.address), (a, "http://a"));
    let renewed = store.renew_node(a, lease).await.unwrap().unwrap();
    assert_eq!(renewed.peers.iter().map(|(peer, _)| peer.id).collect::<Vec<_>>(), [b]);
    // Its time is over: the next request for the account takes it, and the row never comes back.
    store.renew_node(a, Duration::ZERO).await.unwrap();
    store.activate_account(number, b, 1, floor).await.unwrap().unwrap();
    assert_eq!(store.renew_node(a, lease).await.unwrap(), None);
    // What has no row owns nothing, whatever it believes.
    store.remove_node(b).await.unwrap();
    let lost = store.activate_account(number, a, 1, floor).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    assert_eq!(store.find_owner(number, a).await.unwrap(), None);
}

#[tokio::test]
async fn a_row_whose_lease_runs_is_in_the_way_of_its_address_and_of_being_alone() {
    let store = Guard::postgres().await.open().await;
    let (a, b) = (NodeId::from_bits(10), NodeId::from_bits(11));
    let lease = Duration::from_mins(1);
    let blocked = |id, process: &str| NodeEntry::Blocked { process: process.to_owned(), id };
    // The server that is alone.
    assert_eq!(store.insert_node(a, "http://a", "pa", lease).await.unwrap(), blocked(NODE, ""));
    store.remove_node(NODE).await.unwrap();
    assert_eq!(store.insert_node(a, "http://a", "pa", lease).await.unwrap(), NodeEntry::Entered);
    assert_eq!(store.insert_node(b, "http://a", "pb", lease).await.unwrap(), blocked(a, "pa"));
    assert_eq!(store.insert_node(NODE, "", "pn", lease).await.unwrap(), blocked(a, "pa"));
    assert!(store.renew_node(a, Duration::ZERO).await.unwrap().is_some(), "it was not removed");
    assert_eq!(store.insert_node(b, "http://a", "pb", lease).await.unwrap(), NodeEntry::Entered);
}

#[tokio::test]
async fn numbers_that_were_given_out_are_not_given_out_again() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    thread(&store, &mut owner, 1).await;
    let seen = CommitFloor { revision: owner.revision, sequence: owner.sequence, at: at(owner.now) };
    let again = store.activate_account(owner.number, NODE, 1, seen).await.unwrap().unwrap();
    assert_eq!(again.lost_commits, None);
    let floor =
        CommitFloor { revision: seen.revision + 2, sequence: seen.sequence + 5, at: at(owner.now + 9) };
    let again = store.activate_account(owner.number, NODE, 1, floor).await.unwrap().unwrap();
    assert_eq!(again.lost_commits, Some(floor));
    assert_eq!(
        (again.revision, again.sequence, again.last_commit_at),
        (floor.revision, floor.sequence, floor.at)
    );
    let last = store.activate_account(owner.number, NODE, 1, CommitFloor::NONE).await.unwrap().unwrap();
    assert_eq!(last.lost_commits, None);
}

#[tokio::test]
async fn a_key_has_one_call_over_all_nodes_and_the_call_of_a_dead_node_cannot_end() {
    use crate::store::{IdempotencyRecord, KeyState};
    let store = Guard::postgres().await.open().await;
    let mut owner = Owner::of(&store, 1).await;
    let (a, b, org) = (NodeId::from_bits(10), NodeId::from_bits(11), OrganisationId::from_bits(1));
    let lease = std::time::Duration::from_mins(1);
    store.remove_node(NODE).await.unwrap();
    for (node, address) in [(a, "http://a"), (b, "http://b")] {
        assert_eq!(store.insert_node(node, address, "process", lease).await.unwrap(), NodeEntry::Entered);
    }
    let claim = async |node| store.claim_idempotency_key(org, "k", node, (at(10), at(0))).await.unwrap();
    let state = async || store.idempotency_key(org, "k", at(0)).await.unwrap();
    let record = |node| IdempotencyRecord {
        organisation_id: org,
        key: text("k"),
        fingerprint: [7; 32],
        status: 200,
        body: "{}".into(),
        created_at: at(11),
        claimed_by: Some(node),
        contact_id: None,
    };
    assert!(claim(a).await && !claim(b).await);
    assert_eq!(state().await, KeyState::Claimed(a));
    assert_eq!(store.claimed_idempotency_keys(a).await.unwrap(), [(org, "k".to_owned())]);
    // Only who claimed it releases it.
    store.release_idempotency_key(org, "k", b).await.unwrap();
    assert_eq!(state().await, KeyState::Claimed(a));
    store.release_idempotency_key(org, "k", a).await.unwrap();
    assert_eq!(state().await, KeyState::Free);
    // A node whose lease has ended loses the key, and what it then writes under it is refused whole.
    assert!(claim(a).await);
    store.renew_node(a, std::time::Duration::ZERO).await.unwrap();
    assert!(claim(b).await);
    let mut late = owner.cycle(Writes::default().contact(&contact(1)).0);
    late.records.push(record(a));
    let refused = store.commit(late).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(store.find_contact(owner.number, contact(1).id).await.unwrap(), None);
    store.insert_idempotency_record(record(b)).await.unwrap();
    assert_eq!(state().await, KeyState::Answered(record(b)));
    // An answer is never claimed, nor released, and the late node is still refused.
    assert!(!claim(a).await && !claim(b).await);
    store.release_idempotency_key(org, "k", b).await.unwrap();
    let refused = store.insert_idempotency_record(record(a)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(state().await, KeyState::Answered(record(b)));
    // It is free again when it is not kept any more.
    assert!(store.claim_idempotency_key(org, "k", a, (at(13), at(12))).await.unwrap());
    assert!(store.claimed_idempotency_keys(b).await.unwrap().is_empty());
}

#[tokio::test]
async fn changes_of_the_directory_are_numbered() {
    let store = Guard::postgres().await.open().await;
    let before = store.directory_revision().await.unwrap();
    store.insert_user(&user()).await.unwrap();
    let mut owner = Owner::of(&store, 1).await;
    let changed = store.directory_changes(before).await.unwrap();
    assert_eq!((changed.rows.users.len(), changed.rows.accounts.len()), (1, 1));
    // The account clock is no change of the directory.
    thread(&store, &mut owner, 1).await;
    assert_eq!(store.directory_revision().await.unwrap(), changed.revision);
    assert!(store.directory_changes(changed.revision).await.unwrap().rows.accounts.is_empty());
}
