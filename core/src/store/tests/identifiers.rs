//! Identifiers: each belongs to one contact, by every one of them a contact is found, and a merged contact is
//! found by its id alone.

use super::*;
use crate::domain::identity::{ContactUserId, IdentifierKey, UserId as WhatsAppUserId};
use crate::domain::page::ContactQuery;
use crate::domain::row_needs::RowNeeds;

pub(super) fn user_id(text: &str) -> WhatsAppUserId {
    WhatsAppUserId::parse(text).unwrap()
}

/// A contact with a number, WhatsApp's form of it, and a user id of each kind.
fn known_by_all(n: u32) -> Contact {
    let known = |id: &str| ContactUserId { id: user_id(id), since: at(1) };
    let mut identity = identity(n);
    identity.numbers[0].wa_id = Some(phone(n + 100));
    identity.user_ids.push(known(&format!("ID.{n}")));
    identity.parent_user_ids.push(known(&format!("ID.ENT.{n}")));
    Contact { identity: Arc::new(identity), ..contact(n) }
}

async fn found(store: &Store, owner: &Owner, query: ContactQuery) -> Vec<ContactId> {
    let page = store.page_contacts(owner.number, &query).await.unwrap();
    page.rows.iter().map(|row| row.id).collect()
}

fn by_phone(n: u32) -> ContactQuery {
    ContactQuery { phone: Some(phone(n)), ..ContactQuery::default() }
}

fn by_user_id(text: &str) -> ContactQuery {
    ContactQuery { user_id: Some(user_id(text)), ..ContactQuery::default() }
}

#[tokio::test]
async fn every_identifier_finds_its_contact() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (one, other) = (known_by_all(1), known_by_all(2));
    store.commit(owner.cycle(Writes::default().contact(&one).contact(&other).0)).await.unwrap();
    for query in [by_phone(1), by_phone(101), by_user_id("ID.1"), by_user_id("ID.ENT.1")] {
        assert_eq!(found(&store, &owner, query).await, [one.id]);
    }
    let both = ContactQuery { user_id: Some(user_id("ID.2")), ..by_phone(1) };
    for query in [by_phone(3), by_user_id("ID.3"), both] {
        assert!(found(&store, &owner, query).await.is_empty());
    }
    for search in ["+6200000101", "id.ent.1", "ID.1"] {
        let query = ContactQuery { search: Some(text(search)), ..ContactQuery::default() };
        assert!(found(&store, &owner, query).await.contains(&one.id), "{search}");
    }
    let needs = RowNeeds { identifiers: one.identity.keys().into_iter().collect(), ..RowNeeds::default() };
    let rows = store.load_rows(owner.number, &needs, NO_ERASURE).await.unwrap();
    for key in one.identity.keys() {
        assert_eq!(rows.contact_of(&key), Ok(Some(one.id)), "{key:?}");
    }
}

#[tokio::test]
async fn an_identifier_that_moves_leaves_its_former_contact() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (one, two) = (contact(1), contact(2));
    store.commit(owner.cycle(Writes::default().contact(&one).contact(&two).0)).await.unwrap();
    let robbed = Contact { identity: Arc::default(), ..one.clone() };
    let taker = Contact {
        identity: Arc::new(Identity {
            numbers: [identity(2).numbers, identity(1).numbers].concat(),
            ..Identity::default()
        }),
        ..two.clone()
    };
    store.commit(owner.cycle(Writes::default().contact(&robbed).contact(&taker).0)).await.unwrap();
    assert_eq!(found(&store, &owner, by_phone(1)).await, [two.id]);
    let key = IdentifierKey::Number(phone(1));
    let needs = RowNeeds { identifiers: [key.clone()].into(), ..RowNeeds::default() };
    let rows = store.load_rows(owner.number, &needs, NO_ERASURE).await.unwrap();
    assert_eq!(rows.contact_of(&key), Ok(Some(two.id)));
    let count = "SELECT count(*) FROM contact_identifiers";
    let rows = store.read_for_server().fetch_rows(count, Vec::new()).await.unwrap();
    assert_eq!(rows[0].read_fields("contact_identifiers").take_int().unwrap(), 2);
}

#[tokio::test]
async fn a_merged_contact_is_found_by_its_id_alone() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (gone, left) = (contact(1), contact(2));
    store.commit(owner.cycle(Writes::default().contact(&gone).contact(&left).0)).await.unwrap();
    let gone = Contact { identity: Arc::default(), merged_into: Some(left.id), ..gone };
    store.commit(owner.cycle(Writes::default().contact(&gone).0)).await.unwrap();
    assert_eq!(found(&store, &owner, ContactQuery::default()).await, [left.id]);
    assert_eq!(store.find_contact(owner.number, gone.id).await.unwrap().as_deref(), Some(&gone));
}
