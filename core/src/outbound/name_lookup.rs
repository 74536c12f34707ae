//! Resolution of host names, anew for every attempt.
//!
//! Invariants: the addresses of an attempt come from a lookup that began after the attempt asked. One lookup
//! runs at a time for one name, and all attempts that asked before it began share it. So a slow name server
//! delays only the attempts that use it, and holds no more threads than it has names. Threads are shared by tenants.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fair_bound::{FairBound, FairPermit};
use crate::ids::OrganisationId;
use futures_util::future::BoxFuture;

/// Concurrent lookups, at most; each holds a thread.
const LOOKUPS_MAX: usize = 128;
/// Addresses of one name that are used, at most.
const ADDRESSES_MAX: usize = 32;

/// Resolves a name to addresses. A parameter, so that tests control the DNS.
pub trait NameResolver: Send + Sync + 'static {
    /// Returns all addresses, in the order in which they are to be tried. The permit is held as long as the lookup
    /// holds a thread.
    fn resolve(&self, name: &str, permit: FairPermit) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's resolver.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemResolver;

impl NameResolver for SystemResolver {
    fn resolve(&self, name: &str, permit: FairPermit) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let looked = tokio::task::spawn_blocking(move || {
                // Held until the thread is free again, even when no attempt waits for the result any more.
                let _permit = permit;
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            });
            looked.await.map_err(io::Error::other)?
        })
    }
}

/// The addresses, or the error.
type LookupResult = Result<Arc<[IpAddr]>, Arc<io::Error>>;

/// Lookups of one name.
#[derive(Default)]
struct NameLookup {
    /// Held by the attempt that performs the lookup.
    turn: tokio::sync::Mutex<()>,
    /// Lookups begun so far.
    begun: AtomicU64,
    /// Number and result of the last lookup that ended.
    last: Mutex<Option<(u64, LookupResult)>>,
}

impl NameLookup {
    fn last_result(&self) -> MutexGuard<'_, Option<(u64, LookupResult)>> {
        // No code panics in the middle of a change of it.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared lookups of host names.
pub(super) struct NameLookups {
    resolver: Arc<dyn NameResolver>,
    /// Lookups under way.
    turns: Arc<FairBound>,
    /// Names with a waiting attempt.
    names: Mutex<HashMap<Arc<str>, Arc<NameLookup>>>,
}

impl NameLookups {
    pub(super) fn new(resolver: Arc<dyn NameResolver>) -> Self {
        Self { resolver, turns: FairBound::new("name_lookups", LOOKUPS_MAX), names: Mutex::default() }
    }

    fn lock_names(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<NameLookup>>> {
        // No code panics in the middle of a change of it.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bound of the lookups under way.
    pub(super) const fn turns(&self) -> &Arc<FairBound> {
        &self.turns
    }

    /// Returns the addresses of a name, by a lookup that begins now or later.
    pub(super) async fn find_addresses(&self, tenant: OrganisationId, text: &Arc<str>) -> LookupResult {
        let name = self.lock_names().entry(text.clone()).or_default().clone();
        let asking = LookupWaiter { lookups: self, text, name: &name };
        let asked = name.begun.load(Ordering::Acquire);
        let mut permit: Option<FairPermit> = None;
        let found = loop {
            let turn = name.turn.lock().await;
            if let Some((number, found)) = &*name.last_result()
                && *number > asked
            {
                break found.clone();
            }
            let Some(permit) = permit.take().or_else(|| self.turns.try_acquire(tenant)) else {
                // A tenant that waits for a permit holds up no other that looks for the same name.
                drop(turn);
                let waited = self.turns.acquire(tenant).await;
                permit = Some(waited.map_err(|error| Arc::new(io::Error::other(error)))?);
                continue;
            };
            let number = name.begun.fetch_add(1, Ordering::AcqRel) + 1;
            let found = self.resolver.resolve(text, permit).await.map_err(Arc::new);
            let found = found.map(|all| all.into_iter().take(ADDRESSES_MAX).collect());
            *name.last_result() = Some((number, LookupResult::clone(&found)));
            break found;
        };
        drop(asking);
        found
    }
}

/// An attempt that waits for a name; the last one removes the name from the list.
struct LookupWaiter<'a> {
    lookups: &'a NameLookups,
    text: &'a Arc<str>,
    name: &'a Arc<NameLookup>,
}

impl Drop for LookupWaiter<'_> {
    fn drop(&mut self) {
        let mut names = self.lookups.lock_names();
        // The list's reference and this one; new references are created under the lock.
        if Arc::strong_count(self.name) <= 2 {
            names.remove(self.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    const TENANT: OrganisationId = OrganisationId::from_bits(1);

    /// Answers with the number of the lookup, when it is let go.
    #[derive(Default)]
    struct NumberedResolver {
        asked: AtomicU64,
        begun: Notify,
        go: Arc<Notify>,
    }

    impl NameResolver for NumberedResolver {
        fn resolve(&self, _name: &str, _permit: FairPermit) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
            self.begun.notify_one();
            let go = self.go.clone();
            Box::pin(async move {
                go.notified().await;
                Ok(vec![IpAddr::from([9, 9, 9, u8::try_from(number).unwrap()])])
            })
        }
    }

    #[tokio::test]
    async fn who_asks_while_a_lookup_runs_gets_the_next_one_and_all_of_them_share_it() {
        let resolver = Arc::new(NumberedResolver::default());
        let lookups = Arc::new(NameLookups::new(resolver.clone()));
        let name: Arc<str> = "a.example".into();
        let first = lookups.find_addresses(TENANT, &name);
        let mut first = std::pin::pin!(first);
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        resolver.begun.notified().await;
        let mut later: Vec<_> = (0..5).map(|_| Box::pin(lookups.find_addresses(TENANT, &name))).collect();
        for one in &mut later {
            assert!(futures_util::poll!(one.as_mut()).is_pending());
        }
        resolver.go.notify_one();
        assert_eq!(first.await.unwrap().as_ref(), [IpAddr::from([9, 9, 9, 1])]);
        resolver.go.notify_one();
        for one in later {
            assert_eq!(one.await.unwrap().as_ref(), [IpAddr::from([9, 9, 9, 2])]);
        }
        assert_eq!(resolver.asked.load(Ordering::Acquire), 2);
        assert!(lookups.lock_names().is_empty(), "names are forgotten");
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_turn_to_the_next() {
        let resolver = Arc::new(NumberedResolver::default());
        let lookups = NameLookups::new(resolver.clone());
        let name: Arc<str> = "a.example".into();
        let first = tokio::time::timeout(Duration::ZERO, lookups.find_addresses(TENANT, &name)).await;
        assert!(first.is_err());
        assert!(lookups.lock_names().is_empty());
        resolver.go.notify_one();
        assert_eq!(
            lookups.find_addresses(TENANT, &name).await.unwrap().as_ref(),
            [IpAddr::from([9, 9, 9, 2])]
        );
    }
}
