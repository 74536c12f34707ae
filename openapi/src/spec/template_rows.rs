//! The one template of the document's examples.

use kabar_core::domain::template::{Template, TemplateKey};
use kabar_core::ids::TemplateId;

use super::example_rows::{example_time, id_bits};

#[expect(clippy::expect_used, reason = "a literal, read by every test that makes the document")]
pub(crate) fn example_template() -> Template {
    Template {
        id: TemplateId::from_bits(id_bits(-4_000)),
        key: TemplateKey::parse("order_shipped", "en_US").expect("a literal name"),
        provider_id: Some("5550001".into()),
        provider_status: "APPROVED".into(),
        category: Some("UTILITY".into()),
        quality: Some("GREEN".into()),
        rejected_reason: None,
        components: Some(r#"[{"type":"BODY","text":"Your order is on its way."}]"#.into()),
        variables: None,
        created_at: example_time(-4_000),
        updated_at: example_time(0),
    }
}
