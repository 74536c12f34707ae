//! The one operator token and the one entry of the audit log of the document's examples.

use std::net::{IpAddr, Ipv4Addr};

use kabar_core::domain::audit::{AuditAction, AuditEntry, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::operator_token::OperatorToken;
use kabar_core::domain::principal::Principal;
use kabar_core::domain::scopes::{OperatorScope, OperatorScopes};
use kabar_core::ids::{AuditEntryId, OperatorTokenId};

use super::example_rows::{api_key, example_organisation, example_plugin, example_time, id_bits};
use crate::rest::envelope::EXAMPLE_REQUEST_ID;

pub(crate) fn operator_token() -> OperatorToken {
    OperatorToken {
        id: OperatorTokenId::from_bits(id_bits(-9_800)),
        name: "Rani".into(),
        last4: "w4Rt".into(),
        digest: [0; 32],
        scopes: OperatorScopes::NONE.with(OperatorScope::Read).with(OperatorScope::Manage),
        expires_at: None,
        created_by: Principal::OPERATOR,
        created_at: example_time(-9_800),
    }
}

pub(crate) fn audit_entry() -> AuditEntry {
    let origin = AuditOrigin {
        actor: Principal::from_api_key(&api_key()),
        ip: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
        request_id: Some(EXAMPLE_REQUEST_ID.into()),
    };
    let target = AuditTarget::one(AuditTargetKind::Plugin, &example_plugin().id);
    let id = AuditEntryId::from_bits(id_bits(0));
    origin.to_entry(id, Some(example_organisation().id), AuditAction::PluginUpdated, target)
}
