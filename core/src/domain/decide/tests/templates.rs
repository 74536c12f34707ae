//! Templates: what WhatsApp tells of them, and sends that name one.

use super::world::{World, outgoing};
use crate::domain::account::AccountProfile;
use crate::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use crate::domain::draft::AccountChanges;
use crate::domain::inbound::{AccountNotice, InboundFact, InboundItem, RawItem, RawRole};
use crate::domain::message::{MessageKind, OutgoingMessage};
use crate::domain::template::{TemplateCounts, TemplateKey, TemplateNotice, TemplateStatus, ToldTemplate};
use crate::domain::time::Timestamp;

fn key(name: &str) -> TemplateKey {
    TemplateKey::parse(name, "id").unwrap()
}

fn told(name: &str, status: &str) -> ToldTemplate {
    ToldTemplate { provider_status: Some(status.into()), ..ToldTemplate::of_key(key(name)) }
}

fn notice(told: ToldTemplate) -> TemplateNotice {
    TemplateNotice { told, is_deleted: false, is_partial: false }
}

fn item(nth: u8, notice: TemplateNotice) -> InboundItem {
    let raw = RawItem {
        wamid_key: format!("whatsapp.{nth}").into(),
        role: RawRole::Change,
        body: "{}".into(),
        card: None,
        digest: [nth; 16],
    };
    InboundItem { fact: InboundFact::Template(Box::new(notice)), raw: Some(raw) }
}

fn send(world: &mut World, name: &str) -> Result<CommandReply, CommandRefusal> {
    let template = Some(key(name));
    world.run(&AccountCommand::Send(OutgoingMessage { template, ..outgoing(MessageKind::Template) })).0
}

fn sync(world: &mut World, told: Vec<ToldTemplate>) -> (TemplateCounts, AccountChanges) {
    let (reply, changes) = world.run(&AccountCommand::RecordTemplates(told));
    let CommandReply::Templates(counts) = reply.unwrap() else { panic!("no counts") };
    (counts, changes)
}

#[test]
fn a_webhook_makes_changes_and_deletes_a_template() {
    let mut world = World::new();
    let changes = world.ingest(vec![item(1, notice(told("promo", "REJECTED")))]);
    assert!(changes.asks_templates, "the rest of it is asked for");
    assert_eq!(world.events, ["template.created"]);
    let row = world.templates[&key("promo")].clone();
    assert_eq!(
        (row.status(), row.created_at, row.updated_at),
        (TemplateStatus::Rejected, world.now, world.now)
    );
    let changes = world.ingest(vec![item(2, notice(told("promo", "APPROVED")))]);
    assert!(!changes.asks_templates);
    let now = &world.templates[&key("promo")];
    assert_eq!((now.id, now.status()), (row.id, TemplateStatus::Approved));
    // What is known already changes nothing.
    assert!(world.ingest(vec![item(3, notice(told("promo", "APPROVED")))]).is_empty());
    let partial = TemplateNotice { is_partial: true, ..notice(told("promo", "APPROVED")) };
    assert!(world.ingest(vec![item(4, partial)]).asks_templates);
    let gone = TemplateNotice { is_deleted: true, ..notice(told("promo", "DELETED")) };
    world.ingest(vec![item(5, gone.clone())]);
    assert!(world.templates.is_empty());
    assert!(world.ingest(vec![item(6, gone)]).is_empty(), "it is gone");
    assert_eq!(world.events, ["template.created", "template.updated", "template.deleted"]);
}

#[test]
fn a_template_that_is_deleted_and_made_again_at_once_keeps_its_row() {
    let mut world = World::new();
    world.ingest(vec![item(1, notice(told("promo", "APPROVED")))]);
    let before = world.templates[&key("promo")].id;
    let gone = TemplateNotice { is_deleted: true, ..notice(told("promo", "DELETED")) };
    let changes = world.ingest(vec![item(2, gone), item(3, notice(told("promo", "PENDING")))]);
    assert!(changes.removed_templates.is_empty() && changes.templates.len() == 1);
    assert_eq!(world.templates[&key("promo")].id, before);
    let made_and_gone = [
        item(4, notice(told("news", "APPROVED"))),
        item(5, TemplateNotice { is_deleted: true, ..notice(told("news", "DELETED")) }),
    ];
    let changes = world.ingest(made_and_gone.into());
    assert!(changes.templates.is_empty() && changes.removed_templates.len() == 1);
}

#[test]
fn a_list_is_taken_over() {
    let mut world = World::new();
    let list = || vec![told("a", "APPROVED"), told("b", "PENDING")];
    let (counts, _) = sync(&mut world, list());
    assert_eq!(counts, TemplateCounts { created: 2, updated: 0, synced: 2 });
    let (counts, changes) = sync(&mut world, list());
    assert_eq!(counts, TemplateCounts { created: 0, updated: 0, synced: 2 });
    assert!(changes.is_empty());
    let (counts, _) = sync(&mut world, vec![told("b", "APPROVED")]);
    assert_eq!(counts, TemplateCounts { created: 0, updated: 1, synced: 1 });
    let remove =
        |listed_at| AccountCommand::RemoveTemplates { keys: vec![key("a"), key("b"), key("x")], listed_at };
    // What has changed since the list was asked for stays: `b` did, in the last commit.
    let last = world.now;
    world.run(&remove(last)).0.unwrap();
    assert_eq!(world.templates.keys().collect::<Vec<_>>(), [&key("b")]);
    assert!(world.run(&remove(Timestamp::EPOCH)).1.is_empty());
}

#[test]
fn a_template_that_whatsapp_has_taken_is_recorded_once() {
    let mut world = World::new();
    let new = ToldTemplate { variables: Some(r#"["customer"]"#.into()), ..told("promo", "PENDING") };
    let add = AccountCommand::AddTemplate(Box::new(new.clone()));
    let CommandReply::Template(made) = world.run(&add).0.unwrap() else { panic!() };
    assert_eq!(made.variables, new.variables);
    // Its webhook was faster.
    let (again, changes) = world.run(&add);
    assert_eq!(again, Ok(CommandReply::Template(made)));
    assert!(changes.is_empty());
    assert_eq!(world.events, ["template.created"]);
}

#[test]
fn a_send_of_a_known_template_that_is_not_approved_is_refused() {
    let mut world = World::new();
    assert!(send(&mut world, "promo").is_ok(), "WhatsApp decides about one that is not known");
    for (nth, (word, refused)) in (1..).zip([
        ("PENDING", Some(TemplateStatus::Pending)),
        ("REJECTED", Some(TemplateStatus::Rejected)),
        ("PAUSED", Some(TemplateStatus::Paused)),
        ("DISABLED", Some(TemplateStatus::Disabled)),
        ("APPROVED", None),
        ("OF_LATER", None),
    ]) {
        world.ingest(vec![item(nth, notice(told("promo", word)))]);
        let expected = refused.map(CommandRefusal::TemplateNotApproved);
        assert_eq!(send(&mut world, "promo").err(), expected, "{word}");
        assert!(send(&mut world, "other").is_ok());
    }
    let told = ToldTemplate { quality: Some("GREEN".into()), ..ToldTemplate::of_key(key("fresh")) };
    world.ingest(vec![item(7, notice(told))]);
    assert_eq!(world.templates[&key("fresh")].status(), TemplateStatus::Pending);
    assert!(send(&mut world, "fresh").is_ok(), "its state is not known yet");
    // A payload that names no possible template is WhatsApp's to judge.
    assert!(world.run(&AccountCommand::Send(outgoing(MessageKind::Template))).0.is_ok());
}

#[test]
fn another_business_account_has_other_templates() {
    let mut world = World::new();
    let told = |waba_id: &str| {
        let profile = AccountProfile { waba_id: Some(waba_id.into()), ..AccountProfile::default() };
        let notice = AccountNotice { profile, ..AccountNotice::default() };
        vec![InboundItem { fact: InboundFact::Account(notice), raw: None }]
    };
    assert!(world.ingest(told("1")).asks_templates);
    assert!(!world.ingest(told("1")).asks_templates);
    assert!(world.ingest(told("2")).asks_templates);
}
