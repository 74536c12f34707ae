//! The audit log: entries come with their changes or not at all.

use std::net::{IpAddr, Ipv6Addr};

use super::nouns::organisation;
use super::*;
use crate::domain::audit::{
    AuditAction, AuditEntry, AuditFilter, AuditOrigin, AuditQuery, AuditTarget, AuditTargetKind,
};
use crate::domain::page::PageLimit;
use crate::domain::principal::{Principal, PrincipalKind};
use crate::ids::{AuditEntryId, ContactId, UserId};
use crate::store::PurgeAges;

/// An entry made at this instant.
pub(super) fn entry(ms: u8) -> AuditEntry {
    let id = AuditEntryId::from_bits(ulid(ms.into(), ms.into()));
    let target = AuditTarget::one(AuditTargetKind::User, &UserId::from_bits(ms.into()));
    AuditOrigin::SYSTEM.to_entry(id, Some(OrganisationId::from_bits(1)), AuditAction::UserCreated, target)
}

fn all() -> AuditFilter {
    AuditFilter::default()
}

/// The instants of the entries that a filter passes.
async fn found(store: &Store, filter: AuditFilter) -> Vec<i64> {
    let query = AuditQuery { filter, limit: PageLimit::new(100).unwrap(), after: None };
    let page = store.page_audit(&query).await.unwrap();
    page.rows.iter().map(|row| row.created_at().millis()).collect()
}

#[tokio::test]
async fn an_entry_is_written_with_its_change_or_not_at_all() {
    let (store, guard) = store().await;
    store.with_audit(&entry(1)).insert_organisation(&organisation(1)).await.unwrap();
    // The row was written meanwhile: nothing changes.
    let read = organisation(1);
    let written = store.with_audit(&entry(2)).update_organisation(read.clone()).await.unwrap();
    assert!(written.is_some());
    assert_eq!(store.with_audit(&entry(3)).update_organisation(read).await.unwrap(), None);
    // The row is there already: the whole is refused.
    assert!(store.with_audit(&entry(4)).insert_organisation(&organisation(1)).await.is_err());
    store.insert_audit_entry(&entry(5)).await.unwrap();
    store.insert_audit_entry(&entry(5)).await.unwrap();
    assert_eq!(found(&store, all()).await, [5, 2, 1]);
    let mut owner = Owner::of(&store, 1).await;
    let mut commit = owner.cycle(AccountChanges::default());
    commit.audit.push(entry(6));
    store.commit(commit.clone()).await.unwrap();
    commit.audit = vec![entry(7)];
    assert!(matches!(store.commit(commit).await, Err(StoreError::Fenced)));
    for store in [store, guard.open().await] {
        assert_eq!(found(&store, all()).await, [6, 5, 2, 1]);
    }
}

#[tokio::test]
async fn entries_come_back_whole_and_by_their_filters() {
    let (store, _guard) = store().await;
    let key = Principal { kind: PrincipalKind::ApiKey, id: Some("key_1".into()), name: Some("a\"é".into()) };
    let full = AuditEntry {
        actor: key.clone(),
        target: AuditTarget::one(AuditTargetKind::Contact, &ContactId::from_bits(7)),
        action: AuditAction::ContactDeleted,
        organisation_id: Some(OrganisationId::from_bits(2)),
        ip: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        request_id: Some("req_1".into()),
        ..entry(10)
    };
    let token = Principal { kind: PrincipalKind::Operator, id: Some("opt_1".into()), name: None };
    let operator = AuditEntry { actor: token, organisation_id: None, ..entry(20) };
    for one in [&full, &operator, &entry(30)] {
        store.insert_audit_entry(one).await.unwrap();
    }
    let query = |limit, after| AuditQuery { filter: all(), limit: PageLimit::new(limit).unwrap(), after };
    let page = store.page_audit(&query(2, None)).await.unwrap();
    assert!(page.has_more && page.rows == [entry(30), operator.clone()]);
    let page = store.page_audit(&query(2, Some(operator.id))).await.unwrap();
    assert!(!page.has_more && page.rows == [full]);
    let organisation_id = Some(OrganisationId::from_bits(2));
    assert_eq!(found(&store, AuditFilter { organisation_id, ..all() }).await, [10]);
    let actor_id: Option<Arc<str>> = Some("opt_1".into());
    assert_eq!(found(&store, AuditFilter { actor_id: actor_id.clone(), ..all() }).await, [20]);
    let hidden = AuditFilter { actor_id, hides_operators: true, ..all() };
    assert!(found(&store, hidden).await.is_empty());
    assert_eq!(found(&store, AuditFilter { actor_id: key.id, hides_operators: true, ..all() }).await, [10]);
    let action = Some(AuditAction::UserCreated);
    assert_eq!(found(&store, AuditFilter { action, ..all() }).await, [30, 20]);
    let target_id = Some(UserId::from_bits(30).to_string().into());
    assert_eq!(found(&store, AuditFilter { target_id, ..all() }).await, [30]);
    let between = AuditFilter { created_after: Some(at(10)), created_before: Some(at(30)), ..all() };
    assert_eq!(found(&store, between).await, [20]);
}

#[tokio::test]
async fn entries_are_kept_for_ever_or_for_as_long_as_is_said() {
    let (store, _guard) = store().await;
    for ms in 1..=3 {
        store.insert_audit_entry(&entry(ms)).await.unwrap();
    }
    let ages = |audit| PurgeAges { audit, ..PurgeAges::default() };
    assert_eq!(store.purge_rows(at(1_000_000_000_000), &ages(None)).await.unwrap(), 0);
    assert_eq!(store.purge_rows(at(1003), &ages(Some(Duration::from_secs(1)))).await.unwrap(), 2);
    assert_eq!(found(&store, all()).await, [3]);
}
