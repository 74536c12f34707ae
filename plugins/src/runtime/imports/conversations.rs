//! `conversations`: changes of conversations, carried out once the run is committed.

use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::ids::{ConversationId, UserId};

use super::invalid_param;
use crate::report::RequestedEffect;
use crate::runtime::bindings::kabar::hooks::conversations::{Assignment, Changes, Host};
use crate::runtime::bindings::kabar::hooks::types::{ConversationStatus as WitStatus, Refusal};
use crate::runtime::guest_state::GuestState;

fn read_changes(conversation_id: &str, changes: Changes) -> Result<RequestedEffect, Refusal> {
    let conversation_id = ConversationId::parse(conversation_id)
        .map_err(|malformed| invalid_param("conversation_id", &malformed.to_string()))?;
    let status = changes.status.map(|status| match status {
        WitStatus::Open => ConversationStatus::Open,
        WitStatus::Pending => ConversationStatus::Pending,
        WitStatus::Resolved => ConversationStatus::Resolved,
    });
    let assigned_to = match changes.assigned_to {
        Assignment::Keep => None,
        Assignment::Nobody => Some(None),
        Assignment::User(id) => {
            let id = UserId::parse(&id)
                .map_err(|malformed| invalid_param("assigned_to", &malformed.to_string()))?;
            Some(Some(id))
        }
    };
    if status.is_none() && assigned_to.is_none() {
        return Err(invalid_param("changes", "nothing is to change: give a status or an assignee"));
    }
    Ok(RequestedEffect::UpdateConversation { conversation_id, status, assigned_to })
}

impl Host for GuestState {
    fn update(
        &mut self,
        conversation_id: String,
        changes: Changes,
    ) -> wasmtime::Result<Result<String, Refusal>> {
        self.charge_host_call()?;
        Ok(read_changes(&conversation_id, changes).and_then(|effect| self.record_effect(effect)))
    }
}
