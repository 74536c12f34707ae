//! Refused tokens of the operator in the audit log.
//!
//! Invariant: one entry a minute, however many tokens are refused: the metric counts all of them.

use kabar_core::domain::audit::{AuditAction, AuditTarget};
use kabar_core::domain::principal::Principal;
use kabar_core::surroundings;

use super::auth_refusals::REFUSAL_PAUSE;
use super::context::RequestContext;
use super::gateway::Gateway;
use crate::rest::error::{ApiError, ErrorCode};

impl Gateway {
    /// Notes the refusal of a request to the operator's API, and returns the answer. One refused token a minute is entered
    /// into the audit log.
    pub(super) async fn refuse_operator(&self, visit: &RequestContext, refusal: ApiError) -> ApiError {
        if self.refusals.note_operator_refusal(visit.sender.client_block(), &refusal) {
            let origin = visit.source().origin(Principal::OPERATOR);
            let (action, target) = (AuditAction::OperatorLoginRefused, AuditTarget::SERVER);
            // An error is logged, and changes nothing for the client.
            let _entered = self.app.enter_audit(&origin, None, action, target).await;
        }
        if refusal.code() == ErrorCode::RateLimitExceeded {
            surroundings::sleep(REFUSAL_PAUSE).await;
        }
        refusal
    }
}
