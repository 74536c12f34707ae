//! Directory of the subscribers, as the API reads and changes it.

use std::sync::Arc;

use super::listener::WorkStarter;
use super::registry::SubscriberRegistry;
use crate::cluster::Cluster;

/// Directory of the webhooks and plugins of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct SubscriberDirectory {
    pub(super) registry: SubscriberRegistry,
    pub(super) starter: Arc<dyn WorkStarter>,
    pub(super) cluster: Cluster,
    pub(super) limits: TenantLimits,
}

/// Limits of one tenant's subscribers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantLimits {
    /// Most webhook subscriptions.
    pub(crate) subscriptions: usize,
    /// Most bytes of all components.
    pub(crate) component_bytes: u64,
}

impl SubscriberDirectory {
    pub(crate) const fn new(
        registry: SubscriberRegistry,
        starter: Arc<dyn WorkStarter>,
        cluster: Cluster,
        limits: TenantLimits,
    ) -> Self {
        Self { registry, starter, cluster, limits }
    }

    pub(crate) const fn registry(&self) -> &SubscriberRegistry {
        &self.registry
    }
}

impl std::fmt::Debug for SubscriberDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriberDirectory").finish_non_exhaustive()
    }
}
