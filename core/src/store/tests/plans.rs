//! SQLite: every page is a walk along an index, no table is scanned, and nothing is sorted.

use super::identifiers::user_id;
use super::*;
use crate::domain::audit::{AuditAction, AuditFilter, AuditQuery};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::event::EventType;
use crate::domain::identity::IdentifierKey;
use crate::domain::page::{
    ContactQuery, ConversationQuery, DeliveryFilter, DeliveryQuery, MessageQuery, NamedTemplateQuery,
    PageLimit, PagePosition, RunLogQuery, RunQuery, TemplateQuery,
};
use crate::domain::row_needs::RowNeeds;
use crate::domain::template::{TemplateKey, TemplateStatus};
use crate::ids::{AuditEntryId, DeliveryId, PluginId, RunId, RunLogId, SubscriptionId, TemplateId};
use crate::store::DeliveryWork;
use crate::store::contact::IdRange;
use crate::store::dialect::Dialect;
use crate::store::engine::SqlArg;
use crate::store::{
    account, audit, contact as contacts, conversation as conversations, delivery, delivery_body,
    delivery_work, effect, event, loaded_rows, merge, message as messages, message_progress, parked_item,
    purge, raw_item, run, send_queue, template,
};

pub(super) async fn sqlite() -> (Store, Guard) {
    let guard = Guard::sqlite();
    (guard.open().await, guard)
}

/// SQLite's plan, one step a line.
pub(super) async fn plan(store: &Store, (sql, args): (String, Vec<SqlArg>)) -> String {
    let rows = store.read_for_server().fetch_rows(format!("EXPLAIN QUERY PLAN {sql}"), args).await.unwrap();
    let step = |row: &crate::store::engine::EngineRow| {
        let mut fields = row.read_fields("plan");
        let (_id, _parent, _unused) =
            (fields.take_int().unwrap(), fields.take_int().unwrap(), fields.take_int().unwrap());
        fields.take_text().unwrap()
    };
    rows.iter().map(step).collect::<Vec<_>>().join("\n")
}

fn assert_walk(plan: &str, query: &dyn std::fmt::Debug) {
    let bad =
        |line: &str| line.starts_with("SCAN") || line.contains("TEMP B-TREE") || line.contains("AUTOMATIC");
    assert!(!plan.lines().any(bad), "{query:?}:\n{plan}");
}

/// The values of a bit set: `value` where bit `n` is set.
fn when<T>(bits: u32, n: u32, value: T) -> Option<T> {
    (bits & (1 << n) != 0).then_some(value)
}

pub(super) fn conversation_query(bits: u32) -> ConversationQuery {
    ConversationQuery {
        status: when(bits, 0, ConversationStatus::Open),
        contact_id: when(bits, 1, ContactId::from_bits(1)),
        updated_since: when(bits, 2, at(1)),
        after: when(bits, 3, PagePosition { key: 1, id: 1 }),
        ..ConversationQuery::default()
    }
}

pub(super) fn message_query(bits: u32) -> MessageQuery {
    MessageQuery {
        conversation_id: when(bits, 0, ConversationId::from_bits(1)),
        direction: when(bits, 1, Direction::Inbound),
        status: when(bits, 2, MessageStatus::Read),
        created_after: when(bits, 3, at(1)),
        created_before: when(bits, 4, at(2)),
        after: when(bits, 5, MessageId::from_bits(1)),
        ..MessageQuery::default()
    }
}

pub(super) fn contact_query(bits: u32) -> ContactQuery {
    ContactQuery {
        phone: when(bits, 0, phone(1)),
        search: when(bits, 1, text("x")),
        after: when(bits, 2, ContactId::from_bits(1)),
        user_id: when(bits, 3, user_id("ID.1")),
        ..ContactQuery::default()
    }
}

#[tokio::test]
async fn every_combination_of_filters_walks_an_index() {
    let (store, _guard) = sqlite().await;
    for bits in 0..1 << 4 {
        let query = conversation_query(bits);
        assert_walk(&plan(&store, conversations::page_statement(1, &query)).await, &query);
    }
    for bits in 0..1 << 6 {
        let query = message_query(bits);
        assert_walk(
            &plan(&store, messages::page_statement(Dialect::Sqlite, 1, &query, NO_ERASURE).unwrap()).await,
            &query,
        );
    }
    for bits in 0..1 << 4 {
        let query = contact_query(bits);
        assert_walk(
            &plan(&store, contacts::page_statement(Dialect::Sqlite, 1, &query, IdRange::default())).await,
            &query,
        );
    }
}

pub(super) fn template_query(bits: u32) -> TemplateQuery {
    TemplateQuery {
        status: when(bits, 0, TemplateStatus::Paused),
        language: when(bits, 1, text("id")),
        after: when(bits, 2, TemplateId::from_bits(1)),
        ..TemplateQuery::default()
    }
}

#[tokio::test]
async fn templates_are_found_through_indices() {
    let (store, _guard) = sqlite().await;
    for bits in 0..1 << 3 {
        let query = template_query(bits);
        assert_walk(&plan(&store, template::page_statement(1, &query)).await, &query);
    }
    for language in [None, Some(text("id"))] {
        let query = NamedTemplateQuery { name: text("promo"), language };
        let plan = plan(&store, template::named_statement(1, &query)).await;
        assert!(plan.contains("(account=? AND name=?"), "{plan}");
    }
    let needs = RowNeeds {
        templates: TemplateKey::parse("promo", "id").into_iter().collect(),
        ..RowNeeds::default()
    };
    let wanted =
        plan(&store, loaded_rows::templates_statement(Dialect::Sqlite, 1, &needs).unwrap().unwrap()).await;
    assert!(wanted.contains("(account=? AND template_key=?)"), "{wanted}");
    for (sql, args) in [
        (template::SELECT_KEYS.to_owned(), vec![SqlArg::from(1)]),
        (template::FIND_ANY.to_owned(), vec![SqlArg::from(1)]),
        (Dialect::Sqlite.bulk_text(&template::DELETE), vec![SqlArg::from("[]")]),
    ] {
        let plan = plan(&store, (sql, args)).await;
        assert!(plan.contains("(account=?"), "{plan}");
    }
}

pub(super) fn delivery_query(bits: u32) -> DeliveryQuery {
    let filter = DeliveryFilter {
        organisation_id: OrganisationId::from_bits(1),
        subscription_id: when(bits, 0, SubscriptionId::from_bits(1)),
        status: when(bits, 1, DeliveryStatus::Dead),
        event_type: when(bits, 2, EventType::MessageStatus),
        created_after: when(bits, 3, at(1)),
        created_before: when(bits, 4, at(2)),
    };
    DeliveryQuery { filter, limit: PageLimit::default(), after: when(bits, 5, DeliveryId::from_bits(1)) }
}

pub(super) fn run_query(bits: u32) -> RunQuery {
    RunQuery {
        plugin_id: PluginId::from_bits(1),
        status: when(bits, 0, DeliveryStatus::Dead),
        created_after: when(bits, 1, at(1)),
        created_before: when(bits, 2, at(2)),
        limit: PageLimit::default(),
        after: when(bits, 3, RunId::from_bits(1)),
    }
}

pub(super) fn run_log_query(bits: u32) -> RunLogQuery {
    RunLogQuery {
        plugin_id: PluginId::from_bits(1),
        run_id: when(bits, 0, RunId::from_bits(1)),
        limit: PageLimit::default(),
        after: when(bits, 1, RunLogId::from_bits(1)),
    }
}

#[tokio::test]
async fn runs_and_logs_walk_indices() {
    let (store, _guard) = sqlite().await;
    for bits in 0..1 << 4 {
        let query = run_query(bits);
        assert_walk(&plan(&store, run::page_statement(&query)).await, &query);
    }
    for bits in 0..1 << 2 {
        let query = run_log_query(bits);
        assert_walk(&plan(&store, run::log_page_statement(&query)).await, &query);
    }
    let id = || SqlArg::from("plg_1");
    let gate = vec!["[]".into(), id(), "t".into(), 1.into(), 1.into(), 1.into()];
    for (sql, args) in [
        (run::open_statement(), vec![id(), 1.into(), 1.into(), 1.into()]),
        (effect::pending_statement(), vec![1.into(), 1.into()]),
        (effect::of_runs_statement(Dialect::Sqlite), vec!["[]".into()]),
        (Dialect::Sqlite.bulk_text(&run::GATE), gate),
        (Dialect::Sqlite.bulk_text(&run::RECORD), vec!["[]".into(), id(), "t".into()]),
        (Dialect::Sqlite.bulk_text(&effect::SETTLE), vec!["[]".into()]),
        (purge::RUNS.delete_statement(Dialect::Sqlite), vec![1.into(), 1.into()]),
        (purge::RUN_LOGS.delete_statement(Dialect::Sqlite), vec![1.into(), 1.into()]),
        (purge::EFFECTS.delete_statement(Dialect::Sqlite), vec![1.into(), 1.into()]),
    ] {
        let plan = plan(&store, (sql, args)).await;
        let scans = |line: &str| line.contains("SCAN") && !line.contains("_each VIRTUAL");
        assert!(!plan.lines().any(scans), "{plan}");
    }
}

#[tokio::test]
async fn delivery_workers_walk_indices() {
    let (store, _guard) = sqlite().await;
    for bits in 0..1 << 6 {
        let query = delivery_query(bits);
        assert_walk(&plan(&store, delivery::page_statement(&query)).await, &query);
    }
    let id = || SqlArg::from("wbs_1");
    let mut plans = String::new();
    for (sql, args) in [
        (delivery::open_statement(), vec![id(), 1.into(), 1.into(), 1.into()]),
        (
            event::events_of_statement(Dialect::Sqlite),
            vec![1.into(), 1.into(), 2.into(), "[]".into(), 1.into()],
        ),
        (event::events_at_statement(Dialect::Sqlite), vec![1.into(), "[1]".into()]),
        (delivery_work::work_statement(DeliveryWork::OfAccount(1)), vec![1.into()]),
    ] {
        let plan = plan(&store, (sql, args)).await;
        let scans = |line: &str| line.contains("SCAN") && !line.contains("_each VIRTUAL");
        assert!(!plan.lines().any(scans), "{plan}");
        plans.push_str(&plan);
        plans.push_str("\n\n");
    }
    insta::assert_snapshot!(plans);
}

#[tokio::test]
async fn the_main_plans_are_these() {
    let (store, _guard) = sqlite().await;
    let mut plans = String::new();
    let mut note = |name: &str, plan: &str| plans.extend(["## ", name, "\n", plan, "\n\n"]);
    for (name, bits) in [
        ("conversations", 0),
        ("conversations, next page", 0b1000),
        ("conversations by status, next page", 0b1001),
        ("conversations of a contact, by status, next page", 0b1011),
        ("conversations since", 0b100),
        ("conversations since, by status, next page", 0b1101),
    ] {
        note(name, &plan(&store, conversations::page_statement(1, &conversation_query(bits))).await);
    }
    for (name, bits) in [
        ("messages", 0),
        ("messages of a conversation, next page", 0b10_0001),
        ("messages by direction", 0b10),
        ("messages by status", 0b100),
        ("messages by direction and status", 0b110),
        ("messages of a conversation by direction and status", 0b111),
        ("messages between two instants", 0b1_1000),
    ] {
        note(
            name,
            &plan(
                &store,
                messages::page_statement(Dialect::Sqlite, 1, &message_query(bits), NO_ERASURE).unwrap(),
            )
            .await,
        );
    }
    for (name, bits) in
        [("contacts by phone", 1), ("contacts by user id", 0b1000), ("contacts, search, next page", 0b110)]
    {
        note(
            name,
            &plan(
                &store,
                contacts::page_statement(Dialect::Sqlite, 1, &contact_query(bits), IdRange::default()),
            )
            .await,
        );
    }
    let backlog = (send_queue::queue_statement(), vec![1.into(), 1.into(), 2.into(), 1.into()]);
    note("the backlog", &plan(&store, backlog).await);
    let next = (send_queue::next_of_statement(Dialect::Sqlite), vec![1.into(), "[]".into()]);
    note("the next of some conversations", &plan(&store, next).await);
    note("the end of waiting", &plan(&store, (send_queue::next_due_statement(), vec![1.into()])).await);
    let newest = (conversations::newest_statement(), vec![1.into(), 1.into()]);
    note("activation", &plan(&store, newest).await);
    insta::assert_snapshot!(plans);
}

#[tokio::test]
async fn facts_are_found_through_indices() {
    let (store, _guard) = sqlite().await;
    let needs = RowNeeds {
        parked: [text("w")].into(),
        wamids: [text("w")].into(),
        messages: [MessageId::from_bits(1)].into(),
        identifiers: [IdentifierKey::Number(phone(1)), IdentifierKey::User(user_id("ID.1"))].into(),
        contacts: [ContactId::from_bits(1)].into(),
        conversations: [ConversationId::from_bits(1)].into(),
        unread: [ConversationId::from_bits(1)].into(),
        ..RowNeeds::default()
    };
    let mut plans = String::new();
    for statement in [
        loaded_rows::messages_statement(Dialect::Sqlite, 1, &needs),
        loaded_rows::unread_statement(Dialect::Sqlite, 1, &needs),
        loaded_rows::parked_statement(Dialect::Sqlite, 1, &needs),
        loaded_rows::contacts_statement(Dialect::Sqlite, 1, &needs),
        loaded_rows::conversations_statement(Dialect::Sqlite, 1, &needs.conversations, &needs.contacts),
    ] {
        let plan = plan(&store, statement.unwrap().unwrap()).await;
        let scans = |line: &str| line.contains("SCAN") && !line.contains("_each VIRTUAL");
        let walks = |line: &str| line.contains("(account=?)");
        assert!(!plan.lines().any(|line| scans(line) || walks(line)), "{plan}");
        plans.push_str(&plan);
        plans.push_str("\n\n");
    }
    insta::assert_snapshot!(plans);
}

#[tokio::test]
async fn writes_find_their_rows_through_indices() {
    let (store, _guard) = sqlite().await;
    let rows = || vec![SqlArg::from("[]")];
    let old = || vec![SqlArg::from(1), SqlArg::from(1)];
    let mut plans = String::new();
    for (sql, args) in [
        (Dialect::Sqlite.bulk_text(&account::FENCE), rows()),
        (Dialect::Sqlite.bulk_text(&account::UPDATE), rows()),
        (Dialect::Sqlite.bulk_text(&parked_item::DELETE), rows()),
        (Dialect::Sqlite.bulk_text(&raw_item::ERASE), rows()),
        (Dialect::Sqlite.bulk_text(&merge::MOVE), rows()),
        (Dialect::Sqlite.bulk_text(&message_progress::UPDATE), rows()),
        (Dialect::Sqlite.bulk_text(&event::ERASE), rows()),
        (Dialect::Sqlite.bulk_text(&delivery_body::ERASE), rows()),
        (purge::IDEMPOTENCY_RECORDS.delete_statement(Dialect::Sqlite), old()),
        (purge::PARKED_ITEMS.delete_statement(Dialect::Sqlite), old()),
        (purge::PARKED_SURPLUS.delete_statement(Dialect::Sqlite), old()),
        (purge::RAW_ITEMS.delete_statement(Dialect::Sqlite), old()),
        (purge::EVENTS.delete_statement(Dialect::Sqlite), old()),
        (purge::DELIVERIES.delete_statement(Dialect::Sqlite), old()),
        (Dialect::Sqlite.bulk_text(&delivery::RECORD), rows()),
    ] {
        let plan = plan(&store, (sql, args)).await;
        let scans = |line: &str| line.contains("SCAN") && !line.contains("_each VIRTUAL");
        assert!(!plan.lines().any(|line| scans(line) || line.contains("TEMP B-TREE")), "{plan}");
        plans.push_str(&plan);
        plans.push_str("\n\n");
    }
    insta::assert_snapshot!(plans);
}

#[tokio::test]
async fn the_log_is_read_along_its_key() {
    let (store, _guard) = sqlite().await;
    let part = event::events_of_statement(Dialect::Sqlite);
    let part = plan(&store, (part, vec![1.into(), 1.into(), 9.into(), "[]".into(), 9.into()])).await;
    assert!(part.contains("(account=? AND sequence>? AND sequence<?)"), "{part}");
    let raw = (raw_item::SELECT.to_owned(), vec![1.into(), "w".into()]);
    let raw = plan(&store, raw).await;
    assert!(raw.contains("(account=? AND wamid_key=?)"), "{raw}");
    let raw = plan(&store, (raw_item::select_many(Dialect::Sqlite), vec![1.into(), "[]".into()])).await;
    assert!(raw.contains("(account=? AND wamid_key=?)"), "{raw}");
    let page = vec![1.into(), "w".into(), "d".into(), 9.into()];
    let page = plan(&store, (raw_item::PAGE.to_owned(), page)).await;
    assert!(page.contains("(account=? AND (wamid_key,digest)>(?,?))") && !page.contains("TEMP"), "{page}");
    let needs = RowNeeds { notices: [text("whatsapp.flows:0a")].into(), ..RowNeeds::default() };
    let notices = plan(&store, loaded_rows::notices_statement(Dialect::Sqlite, 1, &needs).unwrap().unwrap());
    let notices = notices.await;
    assert!(notices.contains("(account=? AND wamid_key=?)"), "{notices}");
    let waba = plan(&store, (account::OF_WABA.to_owned(), vec!["1".into()])).await;
    assert!(waba.contains("(waba_id=?)"), "{waba}");
    let oldest = plan(&store, (event::oldest_statement().to_owned(), vec![1.into()])).await;
    assert!(oldest.contains("(account=?)"), "{oldest}");
    assert!(!format!("{part}{oldest}").contains("TEMP B-TREE"));
}

#[tokio::test]
async fn pages_of_the_audit_log_walk_along_an_index() {
    let (store, _guard) = sqlite().await;
    for bits in 0..128_u32 {
        let id = |text: &str| Some(Arc::<str>::from(text));
        let filter = AuditFilter {
            organisation_id: when(bits, 0, OrganisationId::from_bits(1)),
            actor_id: when(bits, 1, id("a")).flatten(),
            action: when(bits, 2, AuditAction::UserCreated),
            target_id: when(bits, 3, id("t")).flatten(),
            created_after: when(bits, 4, at(1)),
            created_before: when(bits, 5, at(2)),
            hides_operators: bits & 1 == 1,
        };
        let after = when(bits, 6, AuditEntryId::from_bits(1));
        let query = AuditQuery { filter, limit: PageLimit::default(), after };
        let plan = plan(&store, audit::page_statement(&query)).await;
        assert!(!plan.contains("TEMP B-TREE") && plan.contains("INDEX"), "{query:?}:\n{plan}");
        assert!(bits == 0 || plan.starts_with("SEARCH"), "{query:?}:\n{plan}");
    }
}
