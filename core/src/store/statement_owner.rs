//! Owner of a statement: the organisation whose share of the database a statement uses.
//!
//! Invariant: every statement names its owner, so that none escapes the shares of readers and of the writer. An
//! owner that this process does not know yet is the server.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::subscriber::SubscriberId;
use crate::fair_bound::PermitHolder;
use crate::ids::{OrganisationId, PluginId, SubscriptionId};

/// Owner of the rows that a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StatementOwner {
    /// The server itself.
    Server,
    /// An organisation.
    Organisation(OrganisationId),
    /// The account with this short number.
    Account(i64),
    /// A webhook or a plugin.
    Subscriber(SubscriberId),
}

impl From<OrganisationId> for StatementOwner {
    fn from(id: OrganisationId) -> Self {
        Self::Organisation(id)
    }
}

impl From<Option<OrganisationId>> for StatementOwner {
    fn from(id: Option<OrganisationId>) -> Self {
        id.map_or(Self::Server, Self::Organisation)
    }
}

impl From<i64> for StatementOwner {
    fn from(account_number: i64) -> Self {
        Self::Account(account_number)
    }
}

impl From<SubscriberId> for StatementOwner {
    fn from(id: SubscriberId) -> Self {
        Self::Subscriber(id)
    }
}

impl From<PluginId> for StatementOwner {
    fn from(id: PluginId) -> Self {
        Self::Subscriber(SubscriberId::Hook(id))
    }
}

impl From<SubscriptionId> for StatementOwner {
    fn from(id: SubscriptionId) -> Self {
        Self::Subscriber(SubscriberId::Webhook(id))
    }
}

/// Organisations of accounts and subscribers, as their rows were read or written. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnerTable(Arc<RwLock<HashMap<StatementOwner, OrganisationId>>>);

impl OwnerTable {
    /// Notes the organisation of an account or a subscriber.
    pub(super) fn note_owner(&self, owner: impl Into<StatementOwner>, organisation: OrganisationId) {
        let owner = owner.into();
        let is_known = self.find_organisation(owner) == Some(organisation);
        if !is_known {
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(owner, organisation);
        }
    }

    /// Forgets a subscriber that was deleted.
    pub(super) fn forget_owner(&self, owner: impl Into<StatementOwner>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&owner.into());
    }

    fn find_organisation(&self, owner: StatementOwner) -> Option<OrganisationId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&owner).copied()
    }

    /// Returns the holder of the permits for a statement.
    pub(super) fn holder(&self, owner: StatementOwner) -> PermitHolder {
        match owner {
            StatementOwner::Server => PermitHolder::Server,
            StatementOwner::Organisation(id) => PermitHolder::Organisation(id),
            StatementOwner::Account(_) | StatementOwner::Subscriber(_) => {
                self.find_organisation(owner).map_or(PermitHolder::Server, PermitHolder::Organisation)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_belong_to_the_organisation_of_what_they_are_about() {
        let owners = OwnerTable::default();
        let [one, two] = [1, 2].map(OrganisationId::from_bits);
        assert_eq!(owners.holder(7.into()), PermitHolder::Server, "an account that is not known yet");
        owners.note_owner(7, one);
        let plugin = PluginId::from_bits(7);
        owners.note_owner(plugin, two);
        assert_eq!(owners.holder(7.into()), one.into());
        assert_eq!(owners.holder(plugin.into()), two.into());
        assert_eq!(owners.holder(SubscriptionId::from_bits(7).into()), PermitHolder::Server);
        owners.forget_owner(plugin);
        assert_eq!(owners.holder(plugin.into()), PermitHolder::Server);
        assert_eq!(owners.holder(one.into()), one.into());
    }
}
