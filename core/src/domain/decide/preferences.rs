//! Rules of what contacts wish: marketing messages, or none.

use super::{contacts, identities};
use crate::domain::draft::Draft;
use crate::domain::inbound::MarketingPreference;
use crate::domain::row_needs::RowNotLoaded;

/// Records a choice about marketing messages.
pub(super) fn apply_preference(
    draft: &mut Draft<'_>,
    preference: &MarketingPreference,
) -> Result<(), RowNotLoaded> {
    let at = preference.at.min(draft.now);
    let owner = identities::attribute_party(draft, &preference.party, at)?;
    let known = draft.loaded_rows().find_contact(owner.id)?.ok_or_else(|| contacts::not_loaded(owner.id))?;
    let opted_out_at = preference.opted_out_at.map(|at| at.min(draft.now));
    if known.marketing_opted_out_at == opted_out_at {
        return Ok(());
    }
    let mut contact = (**known).clone();
    contact.marketing_opted_out_at = opted_out_at;
    contacts::write_changed(draft, contact).map(drop)
}
