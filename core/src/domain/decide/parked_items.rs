//! Rules of items that come before their message: they wait for it, and are applied when it comes.

use std::sync::Arc;

use super::{message_changes, statuses};
use crate::domain::draft::Draft;
use crate::domain::inbound::StatusReport;
use crate::domain::message::{Direction, Message};
use crate::domain::parked::{ParkedChange, ParkedItem};
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::wamid::wamid_key;

/// Takes in a status; one that comes before its message waits for it.
pub(super) fn receive_status(draft: &mut Draft<'_>, report: &StatusReport) -> Result<(), RowNotLoaded> {
    let rows = draft.loaded_rows();
    let known = match (rows.message_of(&report.wamid)?, report.echo) {
        (None, Some(echo)) => rows.find_message(echo)?,
        (known, _) => known,
    };
    match known.cloned() {
        Some(message) if message.direction == Direction::Outbound => {
            statuses::apply_status(draft, &message, report)?;
            apply_parked(draft, &message, &report.wamid)
        }
        // WhatsApp reports no statuses of messages that a contact wrote.
        Some(_) => Ok(()),
        None => {
            let change = ParkedChange::Status(Box::new(report.clone()));
            draft.park_item(ParkedItem { wamid_key: wamid_key(&report.wamid), change })
        }
    }
}

/// Applies the items that waited for a message until it got this id of WhatsApp's.
pub(super) fn apply_parked(
    draft: &mut Draft<'_>,
    message: &Arc<Message>,
    wamid: &str,
) -> Result<(), RowNotLoaded> {
    for parked in draft.take_parked(&wamid_key(wamid))? {
        let latest = draft.loaded_rows().find_message(message.id)?.unwrap_or(message).clone();
        match &parked.change {
            ParkedChange::Status(report) => statuses::apply_status(draft, &latest, report)?,
            ParkedChange::Edit(edit) => message_changes::apply_edit(draft, &latest, edit),
            ParkedChange::Revoke(revoke) => message_changes::apply_revoke(draft, &latest, revoke),
            ParkedChange::Reaction(reaction) => {
                message_changes::set_reaction(draft, &latest, reaction.clone());
            }
        }
    }
    Ok(())
}
