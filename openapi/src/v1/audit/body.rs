//! Body of an entry of the audit log.
//!
//! Invariant: a tenant sees that an operator has made a change, and neither which one nor from where.

use std::net::IpAddr;
use std::sync::Arc;

use kabar_core::domain::audit::{AuditAction, AuditEntry, AuditTargetKind};
use kabar_core::domain::principal::{Principal, PrincipalKind};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{AuditEntryId, OrganisationId};
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::rest::principal::PrincipalBody;
use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of an entry.
    AuditEntryNoun = "audit_entry";
}

/// An entry of the audit log: a change, or a refused token of the operator.
#[derive(Debug, Clone, Object)]
#[oai(rename = "AuditEntry", example)]
pub(crate) struct AuditEntryBody {
    /// `aud_…`.
    pub(crate) id: TextValue<AuditEntryId>,
    /// Always `audit_entry`.
    pub(crate) object: TextValue<AuditEntryNoun>,
    /// Time of the change.
    pub(crate) created_at: TextValue<Timestamp>,
    /// The organization that it concerns; null for the server as a whole.
    pub(crate) organization_id: Option<TextValue<OrganisationId>>,
    /// The party that made the change, with the name that it had then. For tenants an `operator` has no id and no name.
    pub(crate) actor: PrincipalBody,
    /// Kind of the change, such as `api_key.created`. The list is open.
    pub(crate) action: TextValue<AuditAction>,
    /// Resource that was changed.
    pub(crate) target: AuditTargetBody,
    /// Address of the client; null where it is unknown, and for tenants on changes by an operator.
    pub(crate) ip: Option<TextValue<IpAddr>>,
    /// Id of the request, as in its `X-Request-Id`; null for changes by the server itself.
    pub(crate) request_id: Option<TextValue<Arc<str>>>,
}

/// Resource that an entry is about.
#[derive(Debug, Clone, Object)]
#[oai(rename = "AuditTarget")]
pub(crate) struct AuditTargetBody {
    /// The `object` of the resource; `server` for the server itself. The list is open.
    #[oai(rename = "type")]
    pub(crate) kind: TextValue<AuditTargetKind>,
    /// Its id; null for several resources, and for the server.
    pub(crate) id: Option<TextValue<Arc<str>>>,
}

impl AuditEntryBody {
    /// Builds the body for operators.
    #[must_use]
    pub(crate) fn from_entry(entry: &AuditEntry) -> Self {
        Self {
            id: TextValue(entry.id),
            object: TextValue(AuditEntryNoun),
            created_at: TextValue(entry.created_at()),
            organization_id: entry.organisation_id.map(TextValue),
            actor: PrincipalBody::from_principal(&entry.actor),
            action: TextValue(entry.action),
            target: AuditTargetBody {
                kind: TextValue(entry.target.kind),
                id: entry.target.id.clone().map(TextValue),
            },
            ip: entry.ip.map(TextValue),
            request_id: entry.request_id.clone().map(TextValue),
        }
    }

    /// Builds the body for the tenant that the entry concerns.
    #[must_use]
    pub(crate) fn for_tenant(entry: &AuditEntry) -> Self {
        let body = Self::from_entry(entry);
        match entry.actor.kind {
            PrincipalKind::Operator => {
                Self { actor: PrincipalBody::from_principal(&Principal::OPERATOR), ip: None, ..body }
            }
            PrincipalKind::ApiKey | PrincipalKind::User | PrincipalKind::System => body,
        }
    }
}

impl Example for AuditEntryBody {
    fn example() -> Self {
        Self::from_entry(&crate::spec::credential_rows::audit_entry())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_do_not_learn_which_operator_it_was() {
        let mut entry = crate::spec::credential_rows::audit_entry();
        assert!(AuditEntryBody::for_tenant(&entry).ip.is_some());
        let (id, name) = (Some("opt_1".into()), Some("Rani".into()));
        entry.actor = Principal { kind: PrincipalKind::Operator, id, name };
        let (shown, whole) = (AuditEntryBody::for_tenant(&entry), AuditEntryBody::from_entry(&entry));
        assert!(shown.ip.is_none() && shown.actor.id.is_none() && shown.actor.name.is_none());
        assert!(whole.ip.is_some() && whole.actor.id.is_some() && whole.actor.name.is_some());
    }
}
