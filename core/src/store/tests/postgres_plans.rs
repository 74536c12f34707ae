//! PostgreSQL: on tables of a size at which it matters, every statement walks an index, whether it is
//! planned for its values or once for all (the server does either with what the driver prepares).
//!
//! Invariant: no big table is read whole, and no large account is sorted.

use serde_json::Value;
use sqlx::PgConnection;

use super::identifiers::user_id;
use super::plans::{
    contact_query, conversation_query, delivery_query, message_query, run_log_query, run_query,
};
use super::*;
use crate::domain::identity::IdentifierKey;
use crate::domain::row_needs::RowNeeds;
use crate::store::contact::IdRange;
use crate::store::contact::search::{SearchBoundary, index_statement};
use crate::store::dialect::Dialect;
use crate::store::engine::SqlArg;
use crate::store::{
    account, contact as contacts, conversation as conversations, delivery, delivery_body, effect, event,
    loaded_rows, merge, message as messages, message_progress, parked_item, purge, raw_item, run, send_queue,
};

/// Rows that may be sorted: a small account, or what is left of a large one.
const SORTED_MAX: f64 = 500.0;
/// The tables that grow.
const BIG: [&str; 13] = [
    "accounts",
    "messages",
    "conversations",
    "contacts",
    "events",
    "contact_identifiers",
    "raw_items",
    "parked_items",
    "idempotency_records",
    "webhook_deliveries",
    "plugin_runs",
    "plugin_run_logs",
    "plugin_effects",
];

/// 5 000 accounts, of which 50 have something; the first has a third of the 20 000 conversations and 60 000 messages. One message
/// in 200 waits to be sent.
const FILL: &str = "
INSERT INTO accounts (id, organisation_id, phone_number_id, phone, status, access_token,
    messages_per_second, sandbox, created_at)
SELECT 'wba_' || n, 'org_1', 100000 + n, '+1' || n, 'connected', 't', 80, 0, 1 FROM generate_series(1, 5000) n;
CREATE TEMPORARY TABLE threads AS
SELECT n, CASE WHEN n % 3 = 0 THEN 1 ELSE 2 + n % 49 END AS account, 'cnv_' || lpad(n::text, 26, '0') AS id,
    'ctc_' || lpad(n::text, 26, '0') AS contact, 1000000 + n AS at FROM generate_series(1, 20000) n;
INSERT INTO contacts SELECT account, contact, 'person', '{}', 'N' || n, 'profile', NULL, '{}', NULL,
    CASE WHEN n % 500 = 0 THEN contact END, 'n' || n || ' +62' || n, at, at FROM threads;
INSERT INTO contact_identifiers SELECT account, 'n:+62' || n, contact FROM threads;
INSERT INTO conversations SELECT account, id, (ARRAY['open', 'pending', 'resolved'])[1 + n % 3], contact, NULL,
    n % 4, at, at, at, NULL, CASE WHEN n % 500 = 0 THEN id END, at, at FROM threads;
INSERT INTO messages SELECT account, 'msg_' || lpad((m * 100000 + n)::text, 26, '0'),
    CASE WHEN m = 1 THEN 'inbound' ELSE 'outbound' END,
    CASE WHEN m = 1 AND n % 4 > 0 THEN 'received' WHEN m = 2 AND n % 67 = 0 THEN 'pending' ELSE 'read' END,
    'text', id, contact, '+1', '+2', 'wamid.' || m || '.' || n, 'wamid.' || m || '.' || n,
    'hello', '{}', NULL, '{}', NULL, NULL, NULL, '[]', 0,
    CASE WHEN m = 2 AND n % 67 = 0 THEN at END, at, at FROM threads, generate_series(1, 3) m;
INSERT INTO events SELECT account, row_number() OVER (PARTITION BY account ORDER BY n, m), 'evt_' || m || n,
    'message.created', at, 'msg_' || m || n, id, contact, NULL, NULL, '{}' FROM threads, generate_series(1, 2) m;
INSERT INTO parked_items SELECT account, 'wamid.p' || n, 'sent', '{}', at FROM threads WHERE n % 4 = 0;
INSERT INTO raw_items SELECT account, 'wamid.' || m || '.' || n, '00', 'message', '{}', NULL, at, 0
    FROM threads, generate_series(1, 3) m;
INSERT INTO idempotency_records SELECT 'org_' || account, 'k' || n, '00', 200, '{}', at FROM threads;
INSERT INTO webhook_deliveries SELECT 'dlv_' || lpad((m * 100000 + n)::text, 26, '0'), 'wbs_' || lpad(m::text, 26, '0'),
    'org_' || lpad((n % 20)::text, 26, '0'), account, n, 'evt_' || m || n, (ARRAY['message.created', 'message.status'])[m], contact,
    CASE WHEN n % 67 = 0 THEN 'pending' ELSE 'delivered' END, '[]', 1, 1, 0, CASE WHEN n % 67 = 0 THEN at END, at, at,
    'msg_' || m || n, CASE WHEN m = 2 THEN '{}' END FROM threads, generate_series(1, 2) m;
INSERT INTO plugin_runs SELECT 'run_' || lpad((m * 100000 + n)::text, 26, '0'), 'plg_' || lpad(m::text, 26, '0'), 'org_1', account, n,
    'evt_' || m || n, 'message.created', contact, CASE WHEN n % 67 = 0 THEN 'pending' ELSE 'delivered' END, '[]', 1, 1, 0,
    CASE WHEN n % 67 = 0 THEN at END, 'plv_1', 1, 1, 1, 1, at, at FROM threads, generate_series(1, 2) m;
INSERT INTO plugin_run_logs SELECT 'rlg_' || lpad((m * 100000 + n)::text, 26, '0'), 'plg_' || lpad(m::text, 26, '0'),
    'run_' || lpad((m * 100000 + n)::text, 26, '0'), 'plv_1', 1, '[]', at FROM threads, generate_series(1, 2) m;
INSERT INTO plugin_effects SELECT 'run_' || lpad((100000 + n)::text, 26, '0'), m, account, n, '{}',
    CASE WHEN n % 67 = 0 THEN 'pending' ELSE 'done' END, NULL, NULL, NULL, at FROM threads, generate_series(1, 2) m;
INSERT INTO nodes VALUES ('nod_1', 'http://a', 1);
DO $$ DECLARE named text; BEGIN
    FOR named IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP
        EXECUTE format('ANALYZE %I', named);
    END LOOP;
END $$";

pub(super) async fn filled() -> (PgConnection, Guard) {
    let guard = Guard::postgres().await;
    guard.open().await.close().await;
    let mut connection = PgConnection::connect(&guard.url()).await.unwrap();
    sqlx::raw_sql(FILL).execute(&mut connection).await.unwrap();
    (connection, guard)
}

/// How PostgreSQL carries this out, planned for these values, and planned for any.
async fn plans(connection: &mut PgConnection, (sql, args): &(String, Vec<SqlArg>)) -> [Value; 2] {
    let mut kinds = Vec::new();
    let mut values = Vec::new();
    for arg in args {
        kinds.push((if matches!(arg, SqlArg::Int(_)) { "bigint" } else { "text" }).to_owned());
        values.push(match arg {
            SqlArg::Int(value) => value.map_or_else(|| "NULL".into(), |value| value.to_string()),
            SqlArg::Text(value) => value.as_ref().map_or_else(|| "NULL".into(), |value| format!("'{value}'")),
            SqlArg::Bytes(_) | SqlArg::Late(_) => panic!("no plan depends on bytes or secrets"),
        });
    }
    let listed =
        |items: &[String]| if items.is_empty() { String::new() } else { format!("({})", items.join(", ")) };
    let prepare = format!("PREPARE question {} AS {sql}", listed(&kinds));
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let mut plans = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let set = sqlx::AssertSqlSafe(format!("SET plan_cache_mode = {mode}"));
        sqlx::raw_sql(set).execute(&mut *connection).await.unwrap();
        let explain =
            sqlx::AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) EXECUTE question{}", listed(&values)));
        let plan: Value =
            sqlx::query_scalar(explain).persistent(false).fetch_one(&mut *connection).await.unwrap();
        plans.push(plan[0]["Plan"].clone());
    }
    sqlx::raw_sql("DEALLOCATE question").execute(&mut *connection).await.unwrap();
    plans.try_into().unwrap()
}

/// What is wrong with a plan, of which all rows are wanted, or only the first.
fn faults(plan: &Value, all: bool) -> Vec<String> {
    let kind = plan["Node Type"].as_str().unwrap();
    let all = all && kind != "Limit";
    let table = plan["Relation Name"].as_str().unwrap_or_default();
    let mut found = Vec::new();
    if kind == "Seq Scan" && BIG.contains(&table) {
        found.push(format!("{table} is read whole"));
    }
    let walked = kind.starts_with("Index") && plan["Index Cond"].is_null();
    if walked && all && BIG.contains(&table) {
        found.push(format!("{table} is read whole, by way of an index"));
    }
    // Whatever a list is compared with is read, if only to be left out. Of the log that is meant to be so.
    // Rows that were looked up by their whole key are compared at no cost.
    let listed = plan["Filter"].as_str().is_some_and(|filter| filter.contains("= ANY"));
    let key = plan["Index Cond"].as_str().unwrap_or_default();
    let looked_up = key.contains("(account = r.account)") && key.contains("::text = (r.");
    if listed && !looked_up && BIG.contains(&table) && table != "events" {
        found.push(format!("a list is compared with rows of {table}"));
    }
    if kind.ends_with("Sort") && plan["Plans"][0]["Plan Rows"].as_f64().unwrap() > SORTED_MAX {
        found.push(format!("{} rows are sorted", plan["Plans"][0]["Plan Rows"]));
    }
    found.extend(plan["Plans"].as_array().into_iter().flatten().flat_map(|part| faults(part, all)));
    found
}

pub(super) async fn faults_of(
    connection: &mut PgConnection,
    what: &str,
    statement: (String, Vec<SqlArg>),
) -> Vec<String> {
    let [custom, generic] = plans(connection, &statement).await;
    let mut found = Vec::new();
    for (how, plan) in [("for its values", custom), ("for any", generic)] {
        for fault in faults(&plan, true) {
            found.push(format!("{what}, planned {how}: {fault}\n{}\n{plan:#}", statement.0));
        }
    }
    found
}

/// Faults of the pages of one account.
async fn faults_of_pages(c: &mut PgConnection, account: i64) -> Vec<String> {
    let mut found = Vec::new();
    for bits in 0..1 << 4 {
        let query = conversation_query(bits);
        found.extend(
            faults_of(c, &format!("{query:?}"), conversations::page_statement(account, &query)).await,
        );
    }
    for bits in 0..1 << 6 {
        let query = message_query(bits);
        found.extend(
            faults_of(
                c,
                &format!("{query:?}"),
                messages::page_statement(Dialect::Postgres, account, &query, NO_ERASURE).unwrap(),
            )
            .await,
        );
    }
    for bits in 0..1 << 4 {
        let query = contact_query(bits);
        let statement = contacts::page_statement(Dialect::Postgres, account, &query, IdRange::default());
        found.extend(faults_of(c, &format!("{query:?}"), statement).await);
    }
    found
}

#[tokio::test]
async fn a_search_walks_its_index() {
    let (mut connection, _guard) = filled().await;
    let boundary = SearchBoundary { id: ContactId::from_bits(u128::MAX), row: 0 };
    let statement = index_statement(Dialect::Postgres, 1, "budi", boundary, 26).unwrap().unwrap();
    for plan in plans(&mut connection, &statement).await {
        assert!(plan.to_string().contains("\"contacts_search\""), "{plan}");
    }
}

fn raw_item_statements(account: i64) -> [(&'static str, String, Vec<SqlArg>); 3] {
    [
        ("raw items", raw_item::SELECT.to_owned(), vec![account.into(), "wamid.1.3".into()]),
        (
            "raw items of many",
            raw_item::select_many(Dialect::Postgres),
            vec![account.into(), "[\"wamid.1.3\"]".into()],
        ),
        (
            "all raw items",
            raw_item::PAGE.to_owned(),
            vec![account.into(), "wamid.1.3".into(), "0".into(), 100.into()],
        ),
    ]
}

#[tokio::test]
async fn every_statement_walks_an_index_in_big_tables_too() {
    let (mut connection, _guard) = filled().await;
    let c = &mut connection;
    let mut found = Vec::new();
    for account in [1, 7] {
        found.extend(faults_of_pages(c, account).await);
        let now = || SqlArg::from(2_000_000);
        for (what, sql, args) in [
            ("the backlog", send_queue::queue_statement(), vec![account.into(), now(), now(), 10_000.into()]),
            (
                "the next of some",
                send_queue::next_of_statement(Dialect::Postgres),
                vec![account.into(), "[\"cnv_1\"]".into()],
            ),
            ("the end of waiting", send_queue::next_due_statement(), vec![account.into()]),
            ("activation", conversations::newest_statement(), vec![account.into(), 101.into()]),
            ("accounts of a WABA", account::OF_WABA.to_owned(), vec!["1".into()]),
            (
                "parked items beyond the bound",
                purge::PARKED_SURPLUS.delete_statement(Dialect::Postgres),
                vec![account.into(), 1000.into()],
            ),
        ] {
            found.extend(faults_of(c, what, (sql, args)).await);
        }
        let id = || SqlArg::from("wbs_00000000000000000000000001");
        for (what, sql, args) in [
            ("what is owed", delivery::open_statement(), vec![id(), account.into(), 1.into(), 100.into()]),
            (
                "the next events",
                event::events_of_statement(Dialect::Postgres),
                vec![account.into(), 1.into(), 200.into(), "[\"message.created\"]".into(), 100.into()],
            ),
            (
                "events by number",
                event::events_at_statement(Dialect::Postgres),
                vec![account.into(), "[1]".into()],
            ),
        ] {
            found.extend(faults_of(c, what, (sql, args)).await);
        }
        for (what, sql, args) in raw_item_statements(account) {
            found.extend(faults_of(c, what, (sql, args)).await);
        }
        for statement in wanted(account) {
            found.extend(faults_of(c, "facts", statement).await);
        }
    }
    for bits in 0..1 << 6 {
        let query = delivery_query(bits);
        found.extend(faults_of(c, &format!("{query:?}"), delivery::page_statement(&query)).await);
    }
    for oldest in
        [purge::IDEMPOTENCY_RECORDS, purge::PARKED_ITEMS, purge::RAW_ITEMS, purge::EVENTS, purge::DELIVERIES]
    {
        found.extend(
            faults_of(
                c,
                "purge",
                (oldest.delete_statement(Dialect::Postgres), vec![1_018_000.into(), 1000.into()]),
            )
            .await,
        );
    }
    assert!(found.is_empty(), "{} faults\n{}", found.len(), found.join("\n\n"));
}

#[tokio::test]
async fn what_hooks_ask_walks_an_index_in_big_tables_too() {
    let (mut connection, _guard) = filled().await;
    let c = &mut connection;
    let mut found = Vec::new();
    for bits in 0..1 << 4 {
        let query = run_query(bits);
        found.extend(faults_of(c, &format!("{query:?}"), run::page_statement(&query)).await);
    }
    for bits in 0..1 << 2 {
        let query = run_log_query(bits);
        found.extend(faults_of(c, &format!("{query:?}"), run::log_page_statement(&query)).await);
    }
    let id = || SqlArg::from("plg_00000000000000000000000001");
    let runs = || SqlArg::from("[\"run_00000000000000000000100001\"]");
    for (what, sql, args) in [
        ("what is owed", run::open_statement(), vec![id(), 7.into(), 1.into(), 100.into()]),
        ("what is to be done", effect::pending_statement(), vec![7.into(), 100.into()]),
        ("effects of runs", effect::of_runs_statement(Dialect::Postgres), vec![runs()]),
    ] {
        found.extend(faults_of(c, what, (sql, args)).await);
    }
    for oldest in [purge::RUNS, purge::RUN_LOGS, purge::EFFECTS] {
        let old = (oldest.delete_statement(Dialect::Postgres), vec![1_018_000.into(), 1000.into()]);
        found.extend(faults_of(c, "purge", old).await);
    }
    assert!(found.is_empty(), "{} faults\n{}", found.len(), found.join("\n\n"));
}

#[tokio::test]
async fn what_is_written_is_looked_up_row_by_row() {
    let (mut connection, _guard) = filled().await;
    let rows = || SqlArg::from("[]");
    let gate: Vec<SqlArg> = vec![rows(), "plg_1".into(), "t".into(), 1.into(), 0.into(), 1.into()];
    let mut found = Vec::new();
    for (what, bulk, args) in [
        ("the fence", &account::FENCE, vec![rows()]),
        ("an account", &account::UPDATE, vec![rows()]),
        ("deliveries", &delivery::RECORD, vec![rows()]),
        ("the gate of runs", &run::GATE, gate),
        ("runs", &run::RECORD, vec![rows(), "plg_1".into(), "t".into()]),
        ("effects", &effect::SETTLE, vec![rows()]),
        ("messages that move", &merge::MOVE, vec![rows()]),
        ("messages that make progress", &message_progress::UPDATE, vec![rows()]),
        ("events of erased messages", &event::ERASE, vec![rows()]),
        ("raw items of erased messages", &raw_item::ERASE, vec![rows()]),
        ("bodies of erased messages", &delivery_body::ERASE, vec![rows()]),
        ("parked items that are taken", &parked_item::DELETE, vec![rows()]),
    ] {
        found.extend(faults_of(&mut connection, what, (Dialect::Postgres.bulk_text(bulk), args)).await);
    }
    assert!(found.is_empty(), "{} faults\n{}", found.len(), found.join("\n\n"));
}

/// What a cycle asks for.
fn wanted(account: i64) -> Vec<(String, Vec<SqlArg>)> {
    let needs = RowNeeds {
        wamids: [text("wamid.1.3"), text("wamid.1.6")].into(),
        parked: [text("wamid.p4")].into(),
        messages: [MessageId::from_bits(1)].into(),
        identifiers: [IdentifierKey::Number(phone(1)), IdentifierKey::User(user_id("ID.1"))].into(),
        contacts: [ContactId::from_bits(1)].into(),
        conversations: [ConversationId::from_bits(1)].into(),
        unread: [ConversationId::from_bits(1)].into(),
        notices: [text("whatsapp.flows:0a")].into(),
        ..RowNeeds::default()
    };
    let engine = Dialect::Postgres;
    [
        loaded_rows::messages_statement(engine, account, &needs),
        loaded_rows::unread_statement(engine, account, &needs),
        loaded_rows::parked_statement(engine, account, &needs),
        loaded_rows::notices_statement(engine, account, &needs),
        loaded_rows::contacts_statement(engine, account, &needs),
        loaded_rows::conversations_statement(engine, account, &needs.conversations, &needs.contacts),
    ]
    .into_iter()
    .map(|statement| statement.unwrap().unwrap())
    .collect()
}

#[tokio::test]
async fn what_a_commit_asks_for_is_looked_up_though_nobody_has_counted_the_rows() {
    let guard = Guard::postgres().await;
    guard.open().await.close().await;
    let mut connection = PgConnection::connect(&guard.url()).await.unwrap();
    let next =
        (send_queue::next_of_statement(Dialect::Postgres), vec![SqlArg::from(1), "[\"cnv_1\"]".into()]);
    for statement in wanted(1).into_iter().chain([next]) {
        let found = faults_of(&mut connection, "a new database", statement).await;
        assert!(found.is_empty(), "{}", found.join("\n\n"));
    }
}

#[tokio::test]
async fn a_plan_that_reads_a_table_whole_or_sorts_it_is_noticed() {
    let (mut connection, _guard) = filled().await;
    for sql in
        ["SELECT * FROM messages", "SELECT id FROM messages WHERE account = 1 ORDER BY content, id LIMIT 5"]
    {
        let found = faults_of(&mut connection, "it", (sql.to_owned(), Vec::new())).await;
        for how in ["for its values", "for any"] {
            assert!(found.iter().any(|fault| fault.contains(how)), "{how}: {sql}");
        }
    }
}
