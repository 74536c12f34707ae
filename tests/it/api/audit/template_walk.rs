//! The entries of what is done to templates.

use kabar_core::domain::audit::AuditAction;
use serde_json::json;

use super::Walk;
use crate::harness::Tenant;

/// Templates of the number's business account, which a message has taught.
pub(super) async fn walk_templates(walk: &mut Walk<'_>, tenant: &Tenant) {
    let body = json!({"name": "promo", "category": "UTILITY", "language": "id",
        "components": [{"type": "BODY", "text": "Halo"}]});
    let answer = tenant.post("templates", &body).await;
    walk.makes("createTemplate", AuditAction::TemplateCreated, answer).await;
    let answer = tenant.post("templates/sync", &json!({})).await;
    walk.check("syncTemplates", AuditAction::TemplatesSynced, answer, None).await;
}
