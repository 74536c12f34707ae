//! Rules of templates: what WhatsApp's webhooks, its list and its answer to a submission tell; and sends that name one.
//!
//! Invariant: a statement that tells nothing new writes nothing and makes no event.

use super::DecideError;
use crate::domain::command::{CommandRefusal, CommandReply};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::message::OutgoingMessage;
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::template::{Template, TemplateCounts, TemplateKey, TemplateNotice, ToldTemplate};
use crate::domain::time::Timestamp;

/// Word for the state of a template of which WhatsApp has told something else only. It is none of Meta's, so sends are left
/// to WhatsApp.
const UNTOLD: &str = "UNKNOWN";

/// Outcome of a statement about a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TemplateChange {
    Created,
    Updated,
    Unchanged,
}

fn learn_template(draft: &mut Draft<'_>, told: &ToldTemplate) -> Result<TemplateChange, RowNotLoaded> {
    let known = draft.loaded_rows().find_template(&told.key)?.cloned();
    if let Some(known) = known {
        let mut template = (*known).clone();
        if !template.update_from(told) {
            return Ok(TemplateChange::Unchanged);
        }
        let template = draft.write_template(template);
        draft.emit_event(EventKind::TemplateUpdated(template));
        return Ok(TemplateChange::Updated);
    }
    let mut template = Template {
        id: draft.next_template_id(&told.key),
        key: told.key.clone(),
        provider_id: None,
        provider_status: UNTOLD.into(),
        category: None,
        quality: None,
        rejected_reason: None,
        components: None,
        variables: None,
        created_at: draft.now,
        updated_at: draft.now,
    };
    template.update_from(told);
    let template = draft.write_template(template);
    draft.emit_event(EventKind::TemplateCreated(template));
    Ok(TemplateChange::Created)
}

fn forget_template(draft: &mut Draft<'_>, key: &TemplateKey) -> Result<(), RowNotLoaded> {
    let Some(known) = draft.loaded_rows().find_template(key)?.cloned() else { return Ok(()) };
    draft.remove_template(&known);
    draft.emit_event(EventKind::TemplateDeleted { id: known.id, key: known.key.clone() });
    Ok(())
}

/// Applies news of a webhook.
pub(super) fn apply_notice(draft: &mut Draft<'_>, notice: &TemplateNotice) -> Result<(), RowNotLoaded> {
    if notice.is_deleted {
        return forget_template(draft, &notice.told.key);
    }
    let change = learn_template(draft, &notice.told)?;
    if notice.is_partial || change == TemplateChange::Created {
        draft.ask_templates();
    }
    Ok(())
}

/// Records a part of WhatsApp's list.
pub(super) fn record_templates(
    draft: &mut Draft<'_>,
    told: &[ToldTemplate],
) -> Result<CommandReply, RowNotLoaded> {
    let mut counts = TemplateCounts { synced: told.len(), ..TemplateCounts::default() };
    let mut ended = Ok(());
    for one in told {
        match learn_template(draft, one) {
            Ok(TemplateChange::Created) => counts.created += 1,
            Ok(TemplateChange::Updated) => counts.updated += 1,
            Ok(TemplateChange::Unchanged) => {}
            Err(missing) => {
                draft.note_missing(missing.clone());
                ended = Err(missing);
            }
        }
    }
    ended.map(|()| CommandReply::Templates(counts))
}

/// Removes templates that WhatsApp's list does not have, unless they have changed since it was asked for.
pub(super) fn remove_templates(
    draft: &mut Draft<'_>,
    keys: &[TemplateKey],
    listed_at: Timestamp,
) -> Result<(), RowNotLoaded> {
    super::for_each(draft, keys, |draft, key| {
        let known = draft.loaded_rows().find_template(key)?;
        let is_older = known.is_some_and(|template| template.updated_at < listed_at);
        if is_older { forget_template(draft, key) } else { Ok(()) }
    })
}

/// Records a template that WhatsApp has taken.
pub(super) fn add_template(draft: &mut Draft<'_>, told: &ToldTemplate) -> Result<CommandReply, DecideError> {
    learn_template(draft, told)?;
    let known = draft.loaded_rows().find_template(&told.key)?.cloned();
    // It was written just now, or was known as it is.
    Ok(known.map_or(CommandReply::Recorded, CommandReply::Template))
}

/// Refuses a send of a template that is known and not approved. One that is not known is left to WhatsApp.
pub(super) fn check_send(draft: &Draft<'_>, outgoing: &OutgoingMessage) -> Result<(), DecideError> {
    let Some(key) = &outgoing.template else { return Ok(()) };
    let known = draft.loaded_rows().find_template(key)?;
    match known.and_then(|template| template.refuses_sends()) {
        Some(status) => Err(CommandRefusal::TemplateNotApproved(status).into()),
        None => Ok(()),
    }
}
