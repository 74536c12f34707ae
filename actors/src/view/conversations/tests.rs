//! Pages from memory against the definition: filter, sort, cut; never a wrong one above or below
//! the horizon.

use super::*;
use kabar_core::domain::contact::ContactRef;
use kabar_core::domain::identity::{ContactKind, Identity};
use kabar_core::domain::page::PageLimit;
use proptest::prelude::*;

fn thread(n: u128, status: ConversationStatus, last: Option<i64>, updated: i64) -> Arc<Conversation> {
    let contact = ContactRef {
        id: ContactId::from_bits(n),
        kind: ContactKind::Person,
        identity: Arc::new(Identity::default()),
        name: None,
    };
    Arc::new(Conversation {
        id: ConversationId::from_bits(n),
        status,
        contact,
        assignee: None,
        unread_count: 0,
        last_message_at: last.map(Timestamp::from_millis),
        last_inbound_at: None,
        number_named_at: None,
        merged_into: None,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::from_millis(updated),
    })
}

fn status() -> impl Strategy<Value = ConversationStatus> {
    proptest::sample::select(&ConversationStatus::ALL)
}

/// Threads with few distinct instants, so that ties are the rule.
fn threads() -> impl Strategy<Value = Vec<Arc<Conversation>>> {
    proptest::collection::vec((status(), proptest::option::of(0_i64..20), 0_i64..20), 0..40).prop_map(
        |rows| {
            rows.into_iter()
                .enumerate()
                .map(|(n, (status, last, updated))| {
                    thread(
                        u128::try_from(n).unwrap() + 1,
                        status,
                        last.map(|last| last.min(updated)),
                        updated,
                    )
                })
                .collect()
        },
    )
}

fn query() -> impl Strategy<Value = ConversationQuery> {
    (
        proptest::option::of(status()),
        proptest::option::of(0_u128..45),
        proptest::option::of(0_i64..20),
        1_i64..12,
        proptest::option::of((-1_i64..20, 0_u128..45)),
    )
        .prop_map(|(status, contact, since, limit, after)| ConversationQuery {
            status,
            contact_id: contact.filter(|n| n % 3 == 0).map(ContactId::from_bits),
            updated_since: since.map(Timestamp::from_millis),
            limit: PageLimit::new(limit).unwrap(),
            after: after.map(|(key, id)| PagePosition { key, id }),
        })
}

fn by_definition(all: &[Arc<Conversation>], query: &ConversationQuery) -> RowPage<Arc<Conversation>> {
    let key = key_of(query.order());
    let mut rows: Vec<_> = all
        .iter()
        .filter(|t| query.status.is_none_or(|s| s == t.status))
        .filter(|t| query.contact_id.is_none_or(|c| c == t.contact.id))
        .filter(|t| query.updated_since.is_none_or(|since| t.updated_at > since))
        .filter(|t| query.after.is_none_or(|after| key(t) < after))
        .cloned()
        .collect();
    rows.sort_by_key(|t| std::cmp::Reverse(key(t)));
    rows.truncate(query.limit.rows() + 1);
    RowPage::cut_to(rows, query.limit)
}

proptest! {
    #[test]
    fn wholly_resident_threads_answer_everything(all in threads(), query in query()) {
        let resident = Conversations::load_rows(all.clone(), true);
        prop_assert_eq!(resident.read_page(&query), Some(by_definition(&all, &query)));
    }

    #[test]
    fn with_a_horizon_an_answer_is_exact_or_absent(
        all in threads(), max in 0_usize..40, changed in proptest::collection::vec((0_usize..40, status()), 0..10), query in query(),
    ) {
        let mut all = all;
        let mut resident = Conversations::load_rows(all.clone(), true);
        resident.trim_rows(max);
        // Threads go on changing, resident or not: what changes becomes resident.
        for (at, (n, status)) in changed.into_iter().enumerate() {
            if let Some(place) = all.get_mut(n) {
                let mut next = (**place).clone();
                next.status = status;
                next.updated_at = Timestamp::from_millis(20 + i64::try_from(at).unwrap());
                *place = Arc::new(next);
                resident.put_conversation(place.clone());
            }
        }
        if let Some(page) = resident.read_page(&query) {
            prop_assert_eq!(page, by_definition(&all, &query));
        }
    }

    #[test]
    fn the_newest_page_of_a_trimmed_account_stays_in_memory(all in threads()) {
        let newest = ConversationQuery { updated_since: Some(Timestamp::from_millis(19)), ..ConversationQuery::default() };
        let mut resident = Conversations::load_rows(all, true);
        resident.trim_rows(5);
        prop_assert!(resident.read_page(&newest).is_some());
    }
}
