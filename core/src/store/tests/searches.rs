//! Searches of contacts: the index finds what a look at every contact finds, and forgets what is gone.

use super::*;
use crate::domain::page::{ContactQuery, PageLimit};
use crate::store::contact::search::{SearchBoundary, index_statement};
use crate::store::dialect::Dialect;

fn named(n: u32, name: &str) -> Contact {
    Contact { name: Some(name.into()), ..contact(n) }
}

async fn search(store: &Store, owner: &Owner, text: &str) -> Vec<ContactId> {
    let limit = PageLimit::new(100).unwrap();
    let query = ContactQuery { search: Some(text.into()), limit, ..ContactQuery::default() };
    let page = store.page_contacts(owner.number, &query).await.unwrap();
    page.rows.iter().map(|row| row.id).collect()
}

/// Inserts contacts of these names, the oldest first, and some that are newer than all of them.
async fn inbox(store: &Store, owner: &mut Owner, names: &[&str]) -> Vec<Contact> {
    let mut contacts: Vec<Contact> = (1..).zip(names).map(|(n, name)| named(n, name)).collect();
    for n in 1..=8 {
        contacts.push(named(100 + n, "newer"));
    }
    let writes = contacts.iter().fold(Writes::default(), Writes::contact);
    store.commit(owner.cycle(writes.0)).await.unwrap();
    contacts.truncate(names.len());
    contacts
}

#[tokio::test]
async fn texts_are_found_as_they_are_written() {
    let (store, _guard) = store().await;
    let (mut owner, mut other) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    let names = [
        "Čedomir Žižek",
        "100% \"off\" _now*",
        "王小明 (李)",
        "a OR b AND NOT c",
        "search_text : x^2",
        "\u{e001}\u{e000}\u{e000}",
    ];
    let contacts = inbox(&store, &mut owner, &names).await;
    inbox(&store, &mut other, &names).await;
    for (text, nth) in [
        ("čedomir žiž", 0),
        ("ŽIŽEK", 0),
        ("% \"off\" _", 1),
        ("now*", 1),
        ("王小明", 2),
        ("小明", 2),
        ("李", 2),
        ("明 (", 2),
        ("or b and not", 3),
        ("text : x^2", 4),
        ("\u{e001}\u{e000}\u{e000}", 5),
    ] {
        assert_eq!(search(&store, &owner, text).await, [contacts[nth].id], "{text}");
    }
    for text in ["žižek č", "100_", "%%%", "王明", "newest", "***", "\"\"\"", "ab*"] {
        assert!(search(&store, &owner, text).await.is_empty(), "{text}");
    }
    assert_eq!(search(&store, &owner, "newer").await.len(), 8);
}

#[tokio::test]
async fn a_contact_is_found_by_what_it_is_called_now() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let contacts = inbox(&store, &mut owner, &["before", "stays", "merged"]).await;
    let renamed = Contact { name: Some("after".into()), ..contacts[0].clone() };
    let touched = Contact { metadata: "{\"a\":1}".into(), ..contacts[1].clone() };
    let merged = Contact { merged_into: Some(contacts[1].id), ..contacts[2].clone() };
    let writes = Writes::default().contact(&renamed).contact(&touched).contact(&merged);
    store.commit(owner.cycle(writes.0)).await.unwrap();
    for (text, found) in [("before", None), ("after", Some(0)), ("stays", Some(1)), ("merged", None)] {
        let found: Vec<ContactId> = found.map(|nth: usize| contacts[nth].id).into_iter().collect();
        assert_eq!(search(&store, &owner, text).await, found, "{text}");
    }
    store
        .write_for_server()
        .write_statement("DELETE FROM contacts WHERE name = 'after'", Vec::new())
        .await
        .unwrap();
    assert!(search(&store, &owner, "after").await.is_empty());
}

/// Bytes that `marker` may be kept as in SQLite's index.
async fn count_in_index(store: &Store, marker: &str) -> i64 {
    let sql = "SELECT count(*) FROM contact_search_data WHERE instr(block, CAST($1 AS BLOB)) > 0";
    let rows = store.read_for_server().fetch_rows(sql, vec![marker.into()]).await.unwrap();
    rows[0].read_fields("contact_search_data").take_int().unwrap()
}

#[tokio::test]
async fn a_contact_that_is_gone_leaves_nothing_in_the_index() {
    let guard = Guard::sqlite();
    let store = guard.open().await;
    let mut owner = Owner::of(&store, 1).await;
    inbox(&store, &mut owner, &["kept", "qxj"]).await;
    assert!(count_in_index(&store, "qxj").await > 0, "the marker is one trigram");
    store
        .write_for_server()
        .write_statement("DELETE FROM contacts WHERE name = 'qxj'", Vec::new())
        .await
        .unwrap();
    assert_eq!(count_in_index(&store, "qxj").await, 0);
    assert_eq!(search(&store, &owner, "kept").await.len(), 1);
    let check = "INSERT INTO contact_search (contact_search, rank) VALUES ('integrity-check', 1)";
    store.write_for_server().write_statement(check, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn contacts_that_do_not_change_cost_the_index_nothing() {
    let guard = Guard::sqlite();
    let store = guard.open().await;
    let mut owner = Owner::of(&store, 1).await;
    let contacts = inbox(&store, &mut owner, &["one"]).await;
    let blocks = async || {
        let sql = "SELECT sum(id), sum(length(block)) FROM contact_search_data";
        let rows = store.read_for_server().fetch_rows(sql, Vec::new()).await.unwrap();
        let mut fields = rows[0].read_fields("contact_search_data");
        (fields.take_int().unwrap(), fields.take_int().unwrap())
    };
    let before = blocks().await;
    for n in 0..20 {
        let touched = Contact { metadata: n.to_string().into(), ..contacts[0].clone() };
        store.commit(owner.cycle(Writes::default().contact(&touched).0)).await.unwrap();
    }
    assert_eq!(blocks().await, before);
}

#[tokio::test]
async fn the_index_is_walked_in_the_order_of_the_list() {
    let guard = Guard::sqlite();
    let store = guard.open().await;
    let boundary = SearchBoundary { id: ContactId::from_bits(1), row: 1 };
    let (sql, args) = index_statement(Dialect::Sqlite, 1, "budi", boundary, 26).unwrap().unwrap();
    let rows = store.read_for_server().fetch_rows(format!("EXPLAIN QUERY PLAN {sql}"), args).await.unwrap();
    let steps: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut fields = row.read_fields("plan");
            for _ in 0..3 {
                fields.take_int().unwrap();
            }
            fields.take_text().unwrap()
        })
        .collect();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(steps[0].contains("VIRTUAL TABLE INDEX") && steps[0].contains('M'), "{steps:?}");
    assert!(steps[1].starts_with("SEARCH k USING INTEGER PRIMARY KEY"), "{steps:?}");
}
