//! Templates come back as they were written, in pages and by name.

use super::*;
use crate::domain::page::{NamedTemplateQuery, PageLimit, TemplateQuery};
use crate::domain::row_needs::RowNeeds;
use crate::domain::template::{Template, TemplateKey, TemplateStatus};
use crate::ids::TemplateId;

pub(super) fn template(n: u32, name: &str, language: &str, status: &str) -> Template {
    Template {
        id: TemplateId::from_bits(ulid(n.into(), n.into())),
        key: TemplateKey::parse(name, language).unwrap(),
        provider_id: None,
        provider_status: text(status),
        category: None,
        quality: None,
        rejected_reason: None,
        components: None,
        variables: None,
        created_at: at(n.into()),
        updated_at: at(n.into()),
    }
}

pub(super) fn full_template() -> Template {
    Template {
        provider_id: Some(text("555")),
        category: Some(text("MARKETING")),
        quality: Some(text("GREEN")),
        rejected_reason: Some(text("INVALID_FORMAT")),
        components: Some(text(r#"[{"type":"BODY","text":"Halo \"{{1}}\" 😀"}]"#)),
        variables: Some(text(r#"["customer"]"#)),
        ..template(1, "promo", "id", "REJECTED")
    }
}

fn writes(templates: &[Template]) -> AccountChanges {
    let rows = templates.iter().map(|row| (row.id, Arc::new(row.clone())));
    AccountChanges { templates: rows.collect(), ..AccountChanges::default() }
}

async fn named(store: &Store, account: i64, name: &str, language: Option<&str>) -> Vec<Arc<Template>> {
    let query = NamedTemplateQuery { name: text(name), language: language.map(text) };
    store.templates_of_name(account, &query).await.unwrap()
}

#[tokio::test]
async fn templates_come_back_from_this_and_the_next_process() {
    let (store, guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let (full, bare) = (full_template(), template(2, "promo", "en_US", "PENDING"));
    store.commit(owner.cycle(writes(&[full.clone(), bare.clone()]))).await.unwrap();
    let number = owner.number;
    for store in [store.clone(), guard.open().await] {
        assert_eq!(named(&store, number, "promo", Some("id")).await, [Arc::new(full.clone())]);
        assert_eq!(named(&store, number, "promo", None).await.len(), 2);
        assert!(named(&store, number + 1, "promo", None).await.is_empty());
        assert!(named(&store, number, "promo", Some("de")).await.is_empty());
        let keys = store.template_keys(number).await.unwrap();
        assert!(keys.len() == 2 && keys.contains(&bare.key));
        let needs = RowNeeds {
            templates: [full.key.clone(), TemplateKey::parse("x", "id").unwrap()].into(),
            ..RowNeeds::default()
        };
        let rows = store.load_rows(number, &needs, &BTreeSet::new()).await.unwrap();
        assert_eq!(rows.find_template(&full.key).unwrap().map(|row| &**row), Some(&full));
        assert_eq!(rows.find_template(&TemplateKey::parse("x", "id").unwrap()), Ok(None));
        assert!(rows.find_template(&bare.key).is_err(), "it was not asked for");
    }
    let active = store.activate_account(number, NODE, 1, CommitFloor::NONE).await.unwrap().unwrap();
    assert!(active.has_templates);
}

#[tokio::test]
async fn templates_change_in_place_and_go() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let full = full_template();
    store.commit(owner.cycle(writes(std::slice::from_ref(&full)))).await.unwrap();
    let cleared =
        Template { updated_at: at(50), created_at: at(40), ..template(1, "promo", "id", "APPROVED") };
    store.commit(owner.cycle(writes(std::slice::from_ref(&cleared)))).await.unwrap();
    assert_eq!(named(&store, owner.number, "promo", None).await, [Arc::new(cleared.clone())]);
    // One goes and another comes with the same commit.
    let other = template(3, "news", "id", "APPROVED");
    let mut changes = writes(std::slice::from_ref(&other));
    changes.removed_templates.insert(cleared.id, cleared.key.clone());
    store.commit(owner.cycle(changes)).await.unwrap();
    assert_eq!(store.template_keys(owner.number).await.unwrap(), std::slice::from_ref(&other.key));
    // There is one row of a name in a language.
    let twin = Template { id: TemplateId::from_bits(9), ..other };
    let refused = store.commit(owner.cycle(writes(std::slice::from_ref(&twin)))).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn pages_are_filtered_and_newest_first() {
    let (store, _guard) = store().await;
    let mut owner = Owner::of(&store, 1).await;
    let rows: Vec<Template> = (1..=6)
        .map(|n| {
            let (language, status) = if n % 2 == 0 { ("id", "APPROVED") } else { ("en", "IN_APPEAL") };
            template(n, &format!("promo_{n}"), language, status)
        })
        .collect();
    store.commit(owner.cycle(writes(&rows))).await.unwrap();
    let page = async |query: TemplateQuery| {
        let page = store.page_templates(owner.number, &query).await.unwrap();
        (page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), page.has_more)
    };
    let id = |n: usize| rows[n - 1].id;
    let limit = PageLimit::new(4).unwrap();
    assert_eq!(
        page(TemplateQuery { limit, ..TemplateQuery::default() }).await,
        (vec![id(6), id(5), id(4), id(3)], true)
    );
    let next = TemplateQuery { limit, after: Some(id(3)), ..TemplateQuery::default() };
    assert_eq!(page(next).await, (vec![id(2), id(1)], false));
    let pending = TemplateQuery { status: Some(TemplateStatus::Pending), ..TemplateQuery::default() };
    assert_eq!(page(pending).await, (vec![id(5), id(3), id(1)], false));
    let both = TemplateQuery {
        status: Some(TemplateStatus::Approved),
        language: Some(text("id")),
        after: Some(id(6)),
        ..TemplateQuery::default()
    };
    assert_eq!(page(both).await, (vec![id(4), id(2)], false));
}
