//! Plugins: kept whole, recorded whole or not at all, replayed, purged.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::audit::entry;
use super::delivery_work::take_in_for;
use super::*;
use crate::domain::allowed_hosts::AllowedHosts;
use crate::domain::delivery::{AttemptOutcome, Delivery, DeliveryAttempt, DeliveryStatus, RetrySchedule};
use crate::domain::effect::{Effect, EffectId, EffectRefusal, EffectStatus, SettledEffect};
use crate::domain::event::{EventType, EventTypes};
use crate::domain::key_values::KvChanges;
use crate::domain::message::OutgoingMessage;
use crate::domain::page::{PageLimit, RunLogQuery, RunQuery};
use crate::domain::plugin::{Capability, Plugin, PluginHealth, PluginState, PluginVersion, VERSIONS_KEPT};
use crate::domain::principal::Principal;
use crate::domain::row_version::RowVersion;
use crate::domain::run::{LogLevel, LogLine, RunUsage};
use crate::domain::subscriber::SubscriberId;
use crate::ids::{DeliveryId, PluginId, PluginVersionId, RunId};
use crate::store::{DeliveryWork, PurgeAges, RunBatch, RunRecord};

pub(super) const PLUGIN: PluginId = PluginId::from_bits(1);
pub(super) const HOOK: SubscriberId = SubscriberId::Hook(PLUGIN);
const VERSION: PluginVersionId = PluginVersionId::from_bits(7);

pub(super) fn plugin(n: u128) -> Plugin {
    Plugin {
        id: PluginId::from_bits(n),
        organisation_id: OrganisationId::from_bits(1),
        name: text("fallback \"é\""),
        description: (n == 1).then(|| text("sends a template")),
        events: [EventType::MessageStatus, EventType::MessageCreated].into_iter().collect(),
        accounts: (n == 2).then(|| [PhoneNumberId::parse("123456").unwrap()].into()),
        config: Arc::new([(text("GREETING"), text("hello\n"))].into()),
        secrets: Arc::new([(text("TOKEN"), Secret::new("s3cret"))].into()),
        allowed_hosts: AllowedHosts::parse(["hooks.example.com"]).unwrap(),
        capabilities: (n == 2).then(|| [Capability::Log, Capability::Kv].into_iter().collect()),
        enabled: true,
        standing: PluginHealth::active_since(at(3)),
        active_version: Some(VERSION),
        previous_version: None,
        created_at: at(3),
        created_by: Principal::OPERATOR,
        updated_at: at(3),
        row_version: RowVersion::FIRST,
    }
}

fn version(n: u128) -> PluginVersion {
    PluginVersion {
        id: PluginVersionId::from_bits(n),
        plugin_id: PLUGIN,
        sha256: [7; 32],
        size: 3,
        imports: vec![text("kabar:hooks/log@1.0.0")],
        exports: vec![text("kabar:hooks/handler@1.0.0")],
        compile_ms: 12,
        created_at: at(4),
        created_by: Principal::SYSTEM,
    }
}

fn owed(n: u128, owner: &Owner, sequence: i64) -> Delivery {
    let made_at = 5_000 + i64::try_from(n).unwrap();
    Delivery {
        id: DeliveryId::from_bits(ulid(made_at, n)),
        subscriber: HOOK,
        organisation_id: OrganisationId::from_bits(1),
        account: owner.number,
        sequence,
        event_id: EventId::from_bits(n),
        event_type: EventType::MessageStatus,
        contact_id: ContactId::from_bits(n),
        status: DeliveryStatus::Pending,
        attempts: Vec::new(),
        attempt_count: 0,
        tries: 0,
        next_attempt_at: Some(due_at(made_at)),
        created_at: at(made_at),
        updated_at: at(made_at),
        replays: 0,
    }
}

fn send() -> Effect {
    Effect::Send(OutgoingMessage {
        to: Address::Phone(phone(1)),
        kind: MessageKind::Text,
        content: text("hi"),
        payload: text(r#"{"body":"hi"}"#),
        context: None,
        reaction: None,
        template: None,
        callback_data: Some(text("c")),
        source: MessageSource::Hook,
    })
}

pub(super) fn record(mut delivery: Delivery, outcome: AttemptOutcome) -> RunRecord {
    let done = outcome == AttemptOutcome::Delivered;
    let error = (!done).then(|| text("no"));
    let attempt = DeliveryAttempt { at: at(6_000), status_code: None, duration_ms: 1, error };
    delivery.settle_attempt(attempt, outcome, RetrySchedule::HOOK, 0.5, at(6_001));
    let bits = delivery.id.bits() + u128::from(delivery.attempt_count);
    RunRecord {
        delivery,
        version_id: Some(VERSION),
        usage: RunUsage { cpu_us: 1, wall_us: 2, host_calls: 3, memory_peak_bytes: 4 },
        logs: vec![LogLine { at: at(6_000), level: LogLevel::Warn, text: text("a \"line\"") }],
        effects: if done { vec![send(), assign()] } else { Vec::new() },
        log_bits: bits,
    }
}

fn assign() -> Effect {
    Effect::UpdateConversation {
        id: ConversationId::from_bits(9),
        status: Some(ConversationStatus::Resolved),
        assigned_to: Some(None),
    }
}

/// A plugin and an account with a log, whose first events it is owed.
pub(super) async fn stage(store: &Store, rows: u32) -> (Owner, Vec<Delivery>) {
    store.insert_plugin(&plugin(1)).await.unwrap();
    let mut owner = Owner::of(store, 1).await;
    for n in 1..=rows {
        thread(store, &mut owner, n).await;
    }
    let deliveries: Vec<_> = (1..=rows).map(|n| owed(n.into(), &owner, n.into())).collect();
    assert!(take_in_for(HOOK, store, &owner, (0, i64::from(rows)), &deliveries).await);
    (owner, deliveries)
}

pub(super) async fn write(
    store: &Store,
    token: &str,
    revision: Option<i64>,
    kv: KvChanges,
    runs: &[RunRecord],
) -> Option<i64> {
    let batch = RunBatch { plugin: PLUGIN, token, kv_revision: revision, kv, runs };
    store.record_runs(&batch).await.unwrap()
}

fn put(key: &str, value: &str) -> (Arc<str>, Option<Arc<[u8]>>) {
    (key.into(), Some(value.as_bytes().into()))
}

fn runs_of(status: Option<DeliveryStatus>) -> RunQuery {
    RunQuery {
        plugin_id: PLUGIN,
        status,
        created_after: None,
        created_before: None,
        limit: PageLimit::default(),
        after: None,
    }
}

fn logs_of(run_id: Option<RunId>) -> RunLogQuery {
    RunLogQuery { plugin_id: PLUGIN, run_id, limit: PageLimit::default(), after: None }
}

#[tokio::test]
async fn plugins_are_kept_as_they_are() {
    let (store, _guard) = store().await;
    let (one, mut two) = (plugin(1), plugin(2));
    store.insert_plugin(&one).await.unwrap();
    store.insert_plugin(&two).await.unwrap();
    assert_eq!(store.load_plugins().await.unwrap(), [one.clone(), two.clone()]);
    two.accounts = None;
    two.secrets = Arc::default();
    two.enabled = false;
    two.previous_version = Some(VERSION);
    let two = store.update_plugin(&plugin(2), two).await.unwrap().unwrap();
    assert_eq!(store.load_plugins().await.unwrap()[1], two);

    store.set_plugin_standing(two.id, &PluginHealth::forbidden_since(at(9), None)).await.unwrap();
    store.set_plugin_standing(two.id, &PluginHealth::active_since(at(10))).await.unwrap();
    let standing = store.load_plugins().await.unwrap()[1].standing.clone();
    assert_eq!((standing.state, standing.by_operator), (PluginState::Disabled, true));
    store.delete_plugin(one.id, at(11)).await.unwrap();
    assert_eq!(store.load_plugins().await.unwrap().len(), 1);
    assert!(store.plugin_kv(one.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_plugin_begins_where_the_logs_end_that_it_did_not_hear_before() {
    let (store, _guard) = store().await;
    let mut owners = Vec::new();
    for n in 1..=3 {
        let mut owner = Owner::of(&store, n).await;
        thread(&store, &mut owner, n).await;
        owners.push(owner);
    }
    let hears = |accounts: Option<&[u32]>, active_version| Plugin {
        accounts: accounts.map(|some| some.iter().map(|n| account(*n).phone_number_id).collect()),
        active_version,
        ..plugin(1)
    };
    let cursors = async || {
        let mut found = Vec::new();
        for owner in &owners {
            found.push(store.delivery_cursor(HOOK, owner.number).await.unwrap().unwrap().cursor);
        }
        found
    };
    let (at_first, at_rest) = (hears(Some(&[1]), None), hears(Some(&[2]), None));
    store.insert_plugin(&at_first).await.unwrap();
    let change = async |before: &Plugin, after: &Plugin| {
        let decided = Plugin { row_version: before.row_version, ..after.clone() };
        store.update_plugin(before, decided).await.unwrap().unwrap()
    };
    let at_rest = change(&at_first, &at_rest).await;
    assert_eq!(cursors().await, [0, 0, 0], "it does not run");
    let running = change(&at_rest, &hears(Some(&[1]), Some(VERSION))).await;
    assert_eq!(cursors().await, [1, 0, 0]);
    let running = change(&running, &Plugin { enabled: false, ..running.clone() }).await;
    let two = change(&running, &hears(Some(&[1, 2]), Some(VERSION))).await;
    assert_eq!(cursors().await, [1, 1, 0]);
    let mut first = Owner::again(&store, owners[0].number).await;
    thread(&store, &mut first, 4).await;
    let all = change(&two, &hears(None, Some(VERSION))).await;
    assert_eq!(cursors().await, [1, 1, 1], "what it heard before is not passed over");
    let running = change(&all, &running).await;
    change(&running, &all).await;
    assert_eq!(cursors().await, [1, 1, 1]);
}

#[tokio::test]
async fn versions_are_seen_once_they_are_whole_and_the_oldest_go() {
    let (store, _guard) = store().await;
    store.insert_plugin(&plugin(1)).await.unwrap();
    let wasm: Bytes = (0..700_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<_>>().into();
    assert!(store.insert_plugin_version(&version(1), &wasm, &[], u64::MAX, &entry(1)).await.unwrap());
    assert_eq!(store.plugin_versions(PLUGIN).await.unwrap(), [version(1)]);
    assert_eq!(store.plugin_bytes(PLUGIN, version(1).id).await.unwrap(), Some(wasm));
    assert_eq!(store.plugin_version(PluginId::from_bits(2), version(1).id).await.unwrap(), None);
    let kept = u128::try_from(VERSIONS_KEPT).unwrap();
    for n in 2..=kept + 2 {
        let wasm = Bytes::from_static(b"abc");
        assert!(store.insert_plugin_version(&version(n), &wasm, &[], u64::MAX, &entry(1)).await.unwrap());
    }
    store.trim_plugin_versions(PLUGIN, &[version(1).id], u64::MAX).await.unwrap();
    let left: Vec<_> = store.plugin_versions(PLUGIN).await.unwrap().iter().map(|one| one.id).collect();
    assert_eq!(left.len(), VERSIONS_KEPT);
    assert!(
        left.contains(&version(1).id) && !left.contains(&version(2).id) && !left.contains(&version(3).id)
    );
    assert_eq!(store.plugin_bytes(PLUGIN, version(2).id).await.unwrap(), None);
    let half = "UPDATE plugin_versions SET whole = 0";
    store.write_for_server().write_statement(half, Vec::new()).await.unwrap();
    assert!(store.plugin_versions(PLUGIN).await.unwrap().is_empty());
    store.purge_unfinished_versions(at(5)).await.unwrap();
    assert_eq!(store.plugin_bytes(PLUGIN, version(1).id).await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_is_recorded_whole() {
    let (store, _guard) = store().await;
    let (owner, rows) = stage(&store, 3).await;
    assert_eq!(store.open_deliveries(HOOK, owner.number, 0, 10).await.unwrap(), rows);
    let work = store.delivery_work(DeliveryWork::Of(HOOK)).await.unwrap();
    assert_eq!(work, [(HOOK, owner.number)]);
    assert_eq!(store.delivery_work(DeliveryWork::OfAccount(owner.number)).await.unwrap(), work);

    let retry = AttemptOutcome::Retry { after: None };
    let batch = [record(rows[0].clone(), AttemptOutcome::Delivered), record(rows[1].clone(), retry)];
    let kv = vec![put("n", "1"), ("gone".into(), None)];
    assert_eq!(write(&store, "a", Some(0), kv, &batch).await, Some(1));
    let (kv, revision) = store.plugin_kv(PLUGIN).await.unwrap().unwrap();
    assert_eq!((kv.as_map().len(), revision), (1, 1));

    let page = store.page_runs(&runs_of(None)).await.unwrap().rows;
    let states: Vec<_> = page.iter().map(|run| (run.run_id(), run.delivery.status)).collect();
    let expected = [DeliveryStatus::Pending, DeliveryStatus::Failed, DeliveryStatus::Delivered];
    assert!(states.iter().map(|(_, status)| *status).eq(expected));
    let done = store.find_run(PLUGIN, states[2].0).await.unwrap().unwrap();
    assert_eq!((done.version_id, done.usage), (Some(VERSION), Some(batch[0].usage)));
    assert_eq!(done.delivery, batch[0].delivery);
    assert_eq!(store.page_runs(&runs_of(Some(DeliveryStatus::Failed))).await.unwrap().rows.len(), 1);
    assert!(store.find_run(PluginId::from_bits(2), done.run_id()).await.unwrap().is_none());

    let logs = store.run_logs(&logs_of(Some(done.run_id()))).await.unwrap().rows;
    assert_eq!((logs.len(), &logs[0].lines, logs[0].attempt), (1, &batch[0].logs, 1));
    assert_eq!(store.run_logs(&logs_of(None)).await.unwrap().rows.len(), 2);
    let effects = store.pending_effects(owner.number, 10).await.unwrap();
    assert!(effects.iter().map(|one| one.effect.clone()).eq([send(), assign()]));
    assert_eq!(store.effects_of(PLUGIN, &[done.run_id()].into()).await.unwrap(), effects);
}

#[tokio::test]
async fn what_does_not_stand_where_it_should_changes_nothing() {
    let (store, _guard) = store().await;
    let (owner, rows) = stage(&store, 2).await;
    let (first, second) = (
        record(rows[0].clone(), AttemptOutcome::Delivered),
        record(rows[1].clone(), AttemptOutcome::Delivered),
    );
    assert_eq!(write(&store, "a", Some(5), vec![put("k", "v")], std::slice::from_ref(&first)).await, None);
    assert_eq!(write(&store, "b", Some(0), vec![put("k", "v")], std::slice::from_ref(&first)).await, Some(1));
    // The first is recorded already, so the second is not either, nor what they changed.
    let both = [first, second.clone()];
    assert_eq!(write(&store, "c", Some(1), vec![put("k", "w")], &both).await, None);
    assert_eq!(write(&store, "c2", None, Vec::new(), &both).await, None);
    let (kv, revision) = store.plugin_kv(PLUGIN).await.unwrap().unwrap();
    assert_eq!((kv.as_map().get("k").map(|value| &**value), revision), (Some(&b"v"[..]), 1));
    assert_eq!(store.pending_effects(owner.number, 10).await.unwrap().len(), 2);
    assert_eq!(write(&store, "d", None, Vec::new(), &[second]).await, Some(1));
    store.delete_plugin(PLUGIN, at(9)).await.unwrap();
    let third = record(owed(3, &owner, 3), AttemptOutcome::Delivered);
    assert_eq!(write(&store, "e", None, Vec::new(), &[third]).await, None);
}

#[tokio::test]
async fn effects_are_settled_with_the_accounts_commit_and_asked_for_again_only_if_refused() {
    let (store, _guard) = store().await;
    let (mut owner, rows) = stage(&store, 1).await;
    let run = RunId::from(rows[0].id);
    let delivered = [record(rows[0].clone(), AttemptOutcome::Delivered)];
    assert!(write(&store, "a", None, Vec::new(), &delivered).await.is_some());
    let settled = |ordinal, refusal| SettledEffect {
        id: EffectId { run, ordinal },
        message_id: Some(MessageId::from_bits(5)).filter(|_| ordinal == 0),
        refusal,
    };
    let effects = vec![settled(0, None), settled(1, Some(EffectRefusal::NoUser))];
    store.commit(owner.cycle(AccountChanges { effects, ..AccountChanges::default() })).await.unwrap();
    assert!(store.pending_effects(owner.number, 10).await.unwrap().is_empty());
    let shown = store.effects_of(PLUGIN, &[run].into()).await.unwrap();
    assert_eq!((shown[0].status, shown[0].message_id), (EffectStatus::Done, Some(MessageId::from_bits(5))));
    assert_eq!(
        (shown[1].status, shown[1].error_code.as_deref()),
        (EffectStatus::Refused, Some("resource_not_found"))
    );

    store.reopen_run(PLUGIN, run, at(8_000)).await.unwrap();
    let again = store.open_deliveries(HOOK, owner.number, 0, 10).await.unwrap();
    assert_eq!((again.len(), again[0].attempt_count, again[0].tries), (1, 1, 0));
    let delivered = [record(again[0].clone(), AttemptOutcome::Delivered)];
    assert!(write(&store, "b", None, Vec::new(), &delivered).await.is_some());
    let pending = store.pending_effects(owner.number, 10).await.unwrap();
    assert_eq!((pending.len(), pending[0].id.ordinal), (1, 1), "what was done is not asked for again");
}

#[tokio::test]
async fn a_part_of_the_log_is_opened_again() {
    let (store, _guard) = store().await;
    let (owner, rows) = stage(&store, 3).await;
    let done: Vec<_> = rows.iter().map(|row| record(row.clone(), AttemptOutcome::Rejected)).collect();
    assert!(write(&store, "a", None, Vec::new(), &done).await.is_some());
    let events = store.events_after(owner.number, 0, 100).await.unwrap();
    let all = EventTypes::all_types();
    let plugin = plugin(1);
    let mut ids = Counting(0);
    let opened = store.open_runs(&plugin, all, (owner.number, 2, 9), 100, at(9_000), &mut ids).await.unwrap();
    assert_eq!((opened.opened, opened.last), (2, Some(3)), "not beyond the plugin's place");
    let open = store.open_deliveries(HOOK, owner.number, 0, 10).await.unwrap();
    let open: Vec<_> = open.iter().map(|row| (row.id, row.attempt_count, row.tries)).collect();
    assert_eq!(open, [(rows[1].id, 1, 0), (rows[2].id, 1, 0)], "they keep their ids");
    let opened = store.open_runs(&plugin, all, (owner.number, 1, 9), 1, at(9_000), &mut ids).await.unwrap();
    assert_eq!((opened.opened, opened.last), (1, Some(1)));

    let third = &events[2];
    assert_eq!(store.find_event(owner.number, third.id).await.unwrap().as_ref(), Some(third));
    assert_eq!(store.find_event(owner.number, EventId::from_bits(ulid(1, 1))).await.unwrap(), None);
    let first_since = async |at| store.first_event_since(owner.number, at).await.unwrap();
    assert_eq!(first_since(Timestamp::EPOCH).await, 1);
    assert_eq!(
        first_since(third.created_at).await,
        events.iter().find(|one| one.created_at == third.created_at).unwrap().sequence
    );
    let last = events.last().unwrap();
    assert_eq!(first_since(last.created_at.next()).await, last.sequence + 1);
}

#[tokio::test]
async fn runs_are_purged_with_all_that_belongs_to_them() {
    let (store, _guard) = store().await;
    let (owner, rows) = stage(&store, 1).await;
    let delivered = [record(rows[0].clone(), AttemptOutcome::Delivered)];
    assert!(write(&store, "a", None, Vec::new(), &delivered).await.is_some());
    let ages = PurgeAges { runs: Duration::from_secs(1), ..PurgeAges::default() };
    assert_eq!(store.purge_rows(at(100_000), &ages).await.unwrap(), 4);
    assert!(store.page_runs(&runs_of(None)).await.unwrap().rows.is_empty());
    assert!(store.run_logs(&logs_of(None)).await.unwrap().rows.is_empty());
    let none: BTreeSet<RunId> = [RunId::from(rows[0].id)].into();
    assert!(store.effects_of(PLUGIN, &none).await.unwrap().is_empty());
    assert!(store.pending_effects(owner.number, 1).await.unwrap().is_empty());
}
