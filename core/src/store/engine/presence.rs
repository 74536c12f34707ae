//! A server's place on a database, and what is left of it when it is lost.
//!
//! Invariant: others stay away as long as a [`Presence`] lasts; who loses one and gets another can tell
//! whether somebody was there in between. What to do about that is not decided here.

use super::{postgres, sqlite};
use crate::store::StoreError;
use crate::surroundings::{AwaitKind, wait_for};

/// A server's place on a database; others stay away as long as it lasts.
pub struct Presence(Place);

enum Place {
    Sqlite(sqlite::Lock),
    Postgres(postgres::Lock),
}

/// One holding of a place, to be remembered beyond its end.
#[derive(Debug, Clone)]
pub struct Stay(Option<postgres::Stay>);

impl Stay {
    pub(super) const fn postgres(&self) -> Option<&postgres::Stay> {
        self.0.as_ref()
    }
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presence")
    }
}

impl Presence {
    pub(super) const fn sqlite(lock: sqlite::Lock) -> Self {
        Self(Place::Sqlite(lock))
    }

    pub(super) const fn postgres(lock: postgres::Lock) -> Self {
        Self(Place::Postgres(lock))
    }

    /// Whether it lasts still.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database has let go of it, or does not answer.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            Place::Sqlite(lock) => {
                lock.check();
                Ok(())
            }
            Place::Postgres(lock) => Ok(wait_for(AwaitKind::Read, lock.check()).await?),
        }
    }

    /// What tells a later one whether it follows at once.
    #[must_use]
    pub fn stay(&self) -> Stay {
        match &self.0 {
            // A lock on a file is not lost before the process ends.
            Place::Sqlite(_) => Stay(None),
            Place::Postgres(lock) => Stay(Some(lock.stay.clone())),
        }
    }

    /// Whether nobody else had the place between that stay and this one.
    #[must_use]
    pub fn follows(&self, last: &Stay) -> bool {
        match (&self.0, &last.0) {
            (Place::Postgres(lock), Some(last)) => lock.stay.follows(last),
            (Place::Postgres(_), None) | (Place::Sqlite(_), _) => false,
        }
    }
}
