//! A server's lock on a database, and its record after it is lost.
//!
//! Invariant: other servers stay away as long as a [`DatabaseLock`] lasts. A server that loses one and gets
//! another can tell whether another server held it in between. The caller decides what to do about that.

use super::{postgres, sqlite};
use crate::store::StoreError;
use crate::surroundings::{AwaitKind, wait_for};

/// A server's lock on a database; other servers stay away as long as it lasts.
pub struct DatabaseLock(LockBackend);

enum LockBackend {
    Sqlite(sqlite::SqliteLock),
    Postgres(postgres::PostgresLock),
}

/// One tenure of a lock, to be remembered beyond its end.
#[derive(Debug, Clone)]
pub struct DatabaseTenure(Option<postgres::LockTenure>);

impl DatabaseTenure {
    pub(super) const fn postgres(&self) -> Option<&postgres::LockTenure> {
        self.0.as_ref()
    }
}

impl std::fmt::Debug for DatabaseLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presence")
    }
}

impl DatabaseLock {
    pub(super) const fn from_sqlite(lock: sqlite::SqliteLock) -> Self {
        Self(LockBackend::Sqlite(lock))
    }

    pub(super) const fn from_postgres(lock: postgres::PostgresLock) -> Self {
        Self(LockBackend::Postgres(lock))
    }

    /// Checks that the lock is still held.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database has released it, or does not answer.
    pub async fn check_held(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            LockBackend::Sqlite(lock) => {
                lock.check_alive();
                Ok(())
            }
            LockBackend::Postgres(lock) => Ok(wait_for(AwaitKind::Read, lock.check_alive()).await?),
        }
    }

    /// Returns the tenure, for the check by a later lock that it follows directly.
    #[must_use]
    pub fn current_tenure(&self) -> DatabaseTenure {
        match &self.0 {
            // A lock on a file is not lost before the process ends.
            LockBackend::Sqlite(_) => DatabaseTenure(None),
            LockBackend::Postgres(lock) => DatabaseTenure(Some(lock.stay.clone())),
        }
    }

    /// Returns `true` when no other server held the lock between that tenure and this one.
    #[must_use]
    pub fn follows_directly(&self, last: &DatabaseTenure) -> bool {
        match (&self.0, &last.0) {
            (LockBackend::Postgres(lock), Some(last)) => lock.stay.follows_directly(last),
            (LockBackend::Postgres(_), None) | (LockBackend::Sqlite(_), _) => false,
        }
    }
}
