//! Fair queue: a bounded number of permits, given to tenants in rotation.
//!
//! Invariant: a free permit goes to the tenant that was served longest ago among those with a waiter that may
//! run. A tenant's waiters are searched in order for a plugin below its limit, so a plugin at its limit delays
//! no other plugin. Waiting is unbounded in time and never an error. The callers bound the number of waiters.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kabar_core::ids::OrganisationId;
use tokio::sync::oneshot;

/// The permits, and their waiters.
pub(crate) struct FairQueue {
    line: Mutex<WaitingQueue>,
    per_plugin_max: usize,
}

struct WaitingQueue {
    free: usize,
    /// Tenants with waiters, longest unserved first.
    rotation: VecDeque<OrganisationId>,
    waiting: HashMap<OrganisationId, VecDeque<QueueWaiter>>,
    seated: HashMap<Arc<str>, usize>,
}

struct QueueWaiter {
    plugin: Arc<str>,
    called: oneshot::Sender<QueuePermit>,
}

/// A permit. Dropping it gives it to the next waiter.
pub(crate) struct QueuePermit {
    turns: Arc<FairQueue>,
    plugin: Option<Arc<str>>,
}

impl FairQueue {
    pub(crate) fn new(seats: usize, per_plugin_max: usize) -> Arc<Self> {
        let line = WaitingQueue {
            free: seats,
            rotation: VecDeque::new(),
            waiting: HashMap::new(),
            seated: HashMap::new(),
        };
        Arc::new(Self { line: Mutex::new(line), per_plugin_max })
    }

    fn lock_queue(&self) -> MutexGuard<'_, WaitingQueue> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit.
    pub(crate) async fn acquire_permit(
        self: &Arc<Self>,
        organisation: OrganisationId,
        plugin: &Arc<str>,
    ) -> QueuePermit {
        let called = {
            let mut line = self.lock_queue();
            if line.free > 0 && !line.is_full(plugin, self.per_plugin_max) {
                line.take_slot(plugin);
                return QueuePermit { turns: self.clone(), plugin: Some(plugin.clone()) };
            }
            let (call, called) = oneshot::channel();
            line.push_waiter(organisation, QueueWaiter { plugin: plugin.clone(), called: call });
            called
        };
        match called.await {
            Ok(seat) => seat,
            // The sender is dropped only with the queue, which this call holds.
            Err(_gone) => std::future::pending().await,
        }
    }

    /// Returns `true` when a caller waits for a permit.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.lock_queue().rotation.is_empty()
    }

    fn release_permit(self: &Arc<Self>, plugin: &Arc<str>) {
        let mut line = self.lock_queue();
        line.free_slot(plugin);
        while line.free > 0 {
            let Some(next) = line.next_waiter(self.per_plugin_max) else { break };
            line.take_slot(&next.plugin);
            let seat = QueuePermit { turns: self.clone(), plugin: Some(next.plugin) };
            // A caller that gave up waiting gets none; the permit must not come back through this lock.
            if let Err(mut unwanted) = next.called.send(seat)
                && let Some(plugin) = unwanted.plugin.take()
            {
                line.free_slot(&plugin);
            }
        }
    }
}

impl WaitingQueue {
    fn is_full(&self, plugin: &Arc<str>, max: usize) -> bool {
        self.seated.get(plugin).is_some_and(|seated| *seated >= max)
    }

    fn take_slot(&mut self, plugin: &Arc<str>) {
        self.free = self.free.saturating_sub(1);
        *self.seated.entry(plugin.clone()).or_default() += 1;
    }

    fn free_slot(&mut self, plugin: &Arc<str>) {
        self.free += 1;
        if let Some(seated) = self.seated.get_mut(plugin) {
            *seated = seated.saturating_sub(1);
            if *seated == 0 {
                self.seated.remove(plugin);
            }
        }
    }

    fn push_waiter(&mut self, organisation: OrganisationId, waiter: QueueWaiter) {
        let own = self.waiting.entry(organisation).or_default();
        if own.is_empty() {
            self.rotation.push_back(organisation);
        }
        own.push_back(waiter);
    }

    /// Removes the next waiter that may run from the queue.
    fn next_waiter(&mut self, per_plugin_max: usize) -> Option<QueueWaiter> {
        for place in 0..self.rotation.len() {
            let organisation = *self.rotation.get(place)?;
            let seated = &self.seated;
            let may = |waiter: &QueueWaiter| {
                seated.get(&waiter.plugin).is_none_or(|seated| *seated < per_plugin_max)
            };
            let own = self.waiting.get_mut(&organisation)?;
            let Some(first) = own.iter().position(may) else { continue };
            let waiter = own.remove(first)?;
            self.rotation.remove(place);
            if own.is_empty() {
                self.waiting.remove(&organisation);
            } else {
                self.rotation.push_back(organisation);
            }
            return Some(waiter);
        }
        None
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        if let Some(plugin) = self.plugin.take() {
            self.turns.release_permit(&plugin);
        }
    }
}

#[cfg(test)]
mod tests;
