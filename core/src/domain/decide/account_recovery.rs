//! Rules of an account that WhatsApp refuses: its queue stands until WhatsApp accepts it again.

use std::sync::Arc;

use crate::domain::account::{AccountProfile, AccountRecovery, AccountStatus};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;

/// Marks the account as degraded, because WhatsApp refuses it: nothing more is sent until WhatsApp accepts it
/// again, or the operator acts.
pub(super) fn degrade_account(draft: &mut Draft<'_>, reason: &Arc<str>) {
    if draft.account.status == AccountStatus::Connected {
        let mut account = (*draft.account).clone();
        account.status = AccountStatus::Degraded;
        account.status_reason = Some(reason.clone());
        // A refusal of the first message goes on with the next wait, not with the first.
        let failures = account.recovery.map_or(0, |recovery| recovery.failures.saturating_add(1));
        account.recovery = Some(AccountRecovery::after_failures(failures, draft.wall_now));
        let account = draft.write_account(account);
        draft.emit_event(EventKind::AccountUpdated(account));
    }
}

/// Records the answer to a look at the account's own number. WhatsApp answers while it accepts the account.
pub(super) fn record_probe(draft: &mut Draft<'_>, told: Option<&AccountProfile>) {
    let mut account = (*draft.account).clone();
    let Some(recovery) = account.recovery.filter(|_| account.status == AccountStatus::Degraded) else {
        return;
    };
    let Some(profile) = told else {
        let failures = recovery.failures.saturating_add(1);
        account.recovery = Some(AccountRecovery::after_failures(failures, draft.wall_now));
        draft.write_account(account);
        return;
    };
    account.status = AccountStatus::Connected;
    account.status_reason = None;
    account.recovery = Some(AccountRecovery { trial: true, ..recovery });
    account.profile.update_from(profile);
    let account = draft.write_account(account);
    draft.emit_event(EventKind::AccountUpdated(account));
}

/// Ends the recovery, once a message of its own got an answer that is not about the account.
pub(super) fn end_recovery(draft: &mut Draft<'_>) {
    if draft.account.recovery.is_some_and(|recovery| recovery.trial) {
        let mut account = (*draft.account).clone();
        account.recovery = None;
        draft.write_account(account);
    }
}
