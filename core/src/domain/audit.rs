//! Audit: the trail of changes by operators and tenants.
//!
//! Invariants: an entry is written in the transaction of its change, and never changed. It names ids and the names of
//! keys and tokens; it holds no secret, no number, no content and no other value of what was changed.

// The address alone: there are no sockets in `core`.
use core::net::IpAddr;
use std::sync::Arc;

use super::page::PageLimit;
use super::principal::Principal;
use super::time::Timestamp;
use super::word_enum::word_enum;
use crate::ids::{AuditEntryId, OrganisationId};

word_enum! {
    /// A kind of change, or of refusal.
    AuditAction {
        OrganizationCreated = "organization.created",
        OrganizationUpdated = "organization.updated",
        OrganizationSuspended = "organization.suspended",
        OrganizationResumed = "organization.resumed",
        OrganizationDeleted = "organization.deleted",
        ApiKeyCreated = "api_key.created",
        ApiKeyRevoked = "api_key.revoked",
        UserCreated = "user.created",
        AccountConnected = "account.connected",
        AccountUpdated = "account.updated",
        AccountSecretsSet = "account.secrets_set",
        AccountItemsReread = "account.items_reread",
        WebhookReread = "webhook.reread",
        ContactDeleted = "contact.deleted",
        ContactExported = "contact.exported",
        TemplateCreated = "template.created",
        TemplatesSynced = "template.synced",
        SubscriptionCreated = "webhook_subscription.created",
        SubscriptionUpdated = "webhook_subscription.updated",
        SubscriptionDeleted = "webhook_subscription.deleted",
        SubscriptionReplayed = "webhook_subscription.replayed",
        SigningSecretCreated = "webhook_secret.created",
        DeliveryReplayed = "webhook_delivery.replayed",
        DeliveriesReplayed = "webhook_delivery.bulk_replayed",
        PluginCreated = "plugin.created",
        PluginUpdated = "plugin.updated",
        PluginDeleted = "plugin.deleted",
        PluginDisabled = "plugin.disabled",
        PluginReplayed = "plugin.replayed",
        PluginRunReplayed = "plugin_run.replayed",
        PluginVersionUploaded = "plugin_version.uploaded",
        PluginVersionActivated = "plugin_version.activated",
        OperatorTokenCreated = "operator_token.created",
        OperatorTokenRevoked = "operator_token.revoked",
        OperatorLoginRefused = "operator_login.refused",
        SecretsRotated = "secrets.rotated",
    }
}

word_enum! {
    /// Kind of what an entry is about: the `object` of that resource.
    AuditTargetKind {
        Organization = "organization",
        ApiKey = "api_key",
        User = "user",
        Account = "account",
        Contact = "contact",
        Template = "template",
        Subscription = "webhook_subscription",
        SigningSecret = "webhook_secret",
        Delivery = "webhook_delivery",
        Plugin = "plugin",
        PluginVersion = "plugin_version",
        PluginRun = "plugin_run",
        OperatorToken = "operator_token",
        Server = "server",
    }
}

/// Resource that an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditTarget {
    /// Kind of the resource.
    pub kind: AuditTargetKind,
    /// Its id; `None` for several resources, and for the server.
    pub id: Option<Arc<str>>,
}

impl AuditTarget {
    /// The server itself.
    pub const SERVER: Self = Self { kind: AuditTargetKind::Server, id: None };

    /// One resource.
    #[must_use]
    pub fn one(kind: AuditTargetKind, id: &impl ToString) -> Self {
        Self { kind, id: Some(id.to_string().into()) }
    }

    /// Several resources of a kind.
    #[must_use]
    pub const fn several(kind: AuditTargetKind) -> Self {
        Self { kind, id: None }
    }
}

/// Origin of a change: the party that asks for it, and the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditOrigin {
    /// The party.
    pub actor: Principal,
    /// Address of its client; `None` where it is unknown, and for the server itself.
    pub ip: Option<IpAddr>,
    /// The request (`req_…`); `None` for the server itself.
    pub request_id: Option<Arc<str>>,
}

impl AuditOrigin {
    /// This server, without a request.
    pub const SYSTEM: Self = Self { actor: Principal::SYSTEM, ip: None, request_id: None };

    /// Returns the entry of a change under an id that was made at the change's instant. `organisation_id` is the tenant
    /// that it concerns, `None` for the server as a whole.
    #[must_use]
    pub fn to_entry(
        &self,
        id: AuditEntryId,
        organisation_id: Option<OrganisationId>,
        action: AuditAction,
        target: AuditTarget,
    ) -> AuditEntry {
        let Self { actor, ip, request_id } = self.clone();
        AuditEntry { id, organisation_id, actor, action, target, ip, request_id }
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// `aud_…`, made at the time of the change.
    pub id: AuditEntryId,
    /// Tenant that it concerns; `None` for the server as a whole. Only this tenant and operators see it.
    pub organisation_id: Option<OrganisationId>,
    /// The party that made the change.
    pub actor: Principal,
    /// Kind of the change.
    pub action: AuditAction,
    /// Resource that was changed.
    pub target: AuditTarget,
    /// Address of the client.
    pub ip: Option<IpAddr>,
    /// The request.
    pub request_id: Option<Arc<str>>,
}

impl AuditEntry {
    /// Returns the time of the change.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_millis(self.id.made_at_ms())
    }
}

/// Filters of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Entries of this tenant; `None` for all entries.
    pub organisation_id: Option<OrganisationId>,
    /// Entries by the actor with this id.
    pub actor_id: Option<Arc<str>>,
    /// Entries of this kind.
    pub action: Option<AuditAction>,
    /// Entries about the resource with this id.
    pub target_id: Option<Arc<str>>,
    /// Entries after this instant.
    pub created_after: Option<Timestamp>,
    /// Entries before this instant.
    pub created_before: Option<Timestamp>,
    /// `true` for a tenant, to which operators have neither name nor id.
    pub hides_operators: bool,
}

/// A query for a page of the audit log, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// Filters.
    pub filter: AuditFilter,
    /// Rows of the page.
    pub limit: PageLimit,
    /// Last entry of the page before.
    pub after: Option<AuditEntryId>,
}

impl AuditQuery {
    /// Returns the list that a cursor is bound to: the log with these filters.
    #[must_use]
    pub fn scope(&self) -> String {
        let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
        let time = |at: Option<Timestamp>| at.map_or(-1, Timestamp::millis);
        let filter = &self.filter;
        format!(
            "audit/{:?}/{}/{:?}/{:?}/{}/{}",
            filter.organisation_id,
            filter.action.map_or("", AuditAction::as_str),
            text(&filter.actor_id),
            text(&filter.target_id),
            time(filter.created_after),
            time(filter.created_before),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::parse(action.as_str()), Some(*action));
            let (noun, _) = action.as_str().split_once('.').unwrap();
            assert!(!noun.is_empty());
        }
        for kind in AuditTargetKind::ALL {
            assert_eq!(AuditTargetKind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(AuditAction::parse("organization"), None);
    }

    #[test]
    fn cursors_are_bound_to_the_filters() {
        let query = |filter| AuditQuery { filter, limit: PageLimit::default(), after: None }.scope();
        let all = AuditFilter::default();
        let some = [
            AuditFilter { actor_id: Some("a".into()), ..all.clone() },
            AuditFilter { target_id: Some("a".into()), ..all.clone() },
            AuditFilter { organisation_id: Some(OrganisationId::from_bits(1)), ..all.clone() },
            AuditFilter { created_after: Some(Timestamp::EPOCH), ..all.clone() },
            AuditFilter { created_before: Some(Timestamp::EPOCH), ..all.clone() },
            AuditFilter { action: Some(AuditAction::UserCreated), ..all.clone() },
            all,
        ];
        let scopes: std::collections::HashSet<_> = some.iter().cloned().map(query).collect();
        assert_eq!(scopes.len(), some.len());
    }
}
