//! Parked items: each change comes back whole, a slot holds the newest, and an account holds a bounded number.

use super::loaded_rows::{parked, report, waiting};
use super::*;
use crate::domain::identity::Party;
use crate::domain::inbound::{MessageEdit, MessageRevoke, StatusReport};
use crate::domain::message::MessageError;
use crate::domain::message_details::{MessageReaction, ReactionSide};
use crate::domain::parked::{ParkedChange, ParkedItem};
use crate::domain::row_needs::RowNeeds;
use crate::store::PurgeAges;

fn item(change: ParkedChange) -> ParkedItem {
    ParkedItem { wamid_key: text("w"), change }
}

fn edit(ms: i64, content: &str) -> ParkedItem {
    item(ParkedChange::Edit(MessageEdit {
        wamid: text("wamid.w"),
        at: at(ms),
        kind: MessageKind::Image,
        content: text(content),
        payload: text(r#"{"id":"1"}"#),
    }))
}

fn reaction(ms: i64, emoji: Option<&str>, participant: Option<&str>) -> ParkedItem {
    item(ParkedChange::Reaction(MessageReaction {
        emoji: emoji.map(text),
        from: ReactionSide::Contact,
        participant: participant.map(text),
        at: at(ms),
    }))
}

/// A status with all that a report may say.
fn full_report() -> StatusReport {
    StatusReport {
        wamid: text("wamid.w"),
        echo: Some(MessageId::from_bits(ulid(1, 1))),
        error: Some(MessageError { code: text("x"), message: text("y"), provider_code: Some(368) }),
        refuses_account: true,
        recipient: Some(Party {
            phone: Some(phone(1)),
            wa_id: Some(phone(2)),
            user_id: Some(identifiers::user_id("ID.1")),
            parent_user_id: Some(identifiers::user_id("ID.ENT.1")),
            username: Some(text("budi")),
            name: Some(text("Budi")),
        }),
        pricing: Some(text(r#"{"billable":true}"#)),
        ..report("w", MessageStatus::Failed, 9)
    }
}

async fn kept(store: &Store, owner: &Owner) -> Vec<ParkedItem> {
    let needs = RowNeeds { parked: [text("w")].into(), ..RowNeeds::default() };
    parked(store.load_rows(owner.number, &needs, NO_ERASURE).await.unwrap(), "w")
}

async fn park(store: &Store, owner: &mut Owner, items: Vec<ParkedItem>) {
    store.commit(owner.cycle(AccountChanges { parked: items, ..AccountChanges::default() })).await.unwrap();
}

#[tokio::test]
async fn every_change_comes_back_whole() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let revoke = MessageRevoke { wamid: text("wamid.w"), at: at(5) };
    let all = vec![
        edit(1, "a \"b\""),
        reaction(2, Some("👍"), None),
        reaction(3, None, Some("+62")),
        waiting(&report("w", MessageStatus::Played, 4)),
        item(ParkedChange::Revoke(revoke)),
        ParkedItem { wamid_key: text("w"), ..waiting(&full_report()) },
    ];
    park(&store, &mut owner, all.clone()).await;
    assert_eq!(kept(&store, &owner).await, all);
}

#[tokio::test]
async fn a_slot_holds_what_was_parked_last() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    park(&store, &mut owner, vec![edit(1, "a"), reaction(2, Some("x"), None)]).await;
    park(&store, &mut owner, vec![edit(3, "b")]).await;
    assert_eq!(kept(&store, &owner).await, [reaction(2, Some("x"), None), edit(3, "b")]);
    // What a commit takes and what it parks again under the same key do not disturb each other.
    let unparked = vec![text("w")];
    let parked = vec![edit(4, "c")];
    store
        .commit(owner.cycle(AccountChanges { parked, unparked, ..AccountChanges::default() }))
        .await
        .unwrap();
    assert_eq!(kept(&store, &owner).await, [edit(4, "c")]);
}

#[tokio::test]
async fn the_oldest_items_beyond_the_bound_are_dropped_and_counted() {
    let (store, _guard) = store().await;
    let (mut owner, mut other) = (Owner::of(&store, 1).await, Owner::of(&store, 2).await);
    park(&store, &mut other, vec![edit(1, "a"), reaction(2, Some("x"), None)]).await;
    for ms in 1..=4 {
        let participant = format!("+{ms}");
        park(&store, &mut owner, vec![reaction(ms, Some("x"), Some(&participant))]).await;
    }
    assert_eq!(store.purge_rows(at(5000), &PurgeAges::default()).await.unwrap(), 0);
    assert_eq!(store.drop_parked_surplus(2).await.unwrap(), 2);
    assert_eq!(store.parked_items_dropped(), 2);
    let left: Vec<Timestamp> = kept(&store, &owner).await.iter().map(ParkedItem::at).collect();
    assert_eq!(left, [at(3), at(4)]);
    assert_eq!(kept(&store, &other).await.len(), 2);
    assert_eq!(store.drop_parked_surplus(2).await.unwrap(), 0);
}
