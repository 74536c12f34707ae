//! Last use of credentials: noted in memory by requests, written once a minute by a task.
//!
//! Invariants: a request writes nothing, and waits for nothing. A credential is written at most once a minute, and the
//! uses that were noted are written before the server stops.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::TenantDirectory;
use crate::error::AccountError;

/// Interval of the writes, and of the uses of one credential that are told apart.
const RECORD_EVERY: Duration = Duration::from_mins(1);

/// Last use of one credential by requests to this server; 0 for none.
#[derive(Debug, Default)]
pub(super) struct LastUse {
    used_ms: AtomicI64,
    written_ms: AtomicI64,
}

impl LastUse {
    /// Notes a use, unless one was noted within the last minute.
    pub(super) fn note_use(&self, now: Timestamp) {
        let last = Timestamp::from_millis(self.used_ms.load(Ordering::Relaxed));
        if now >= last.plus_duration(RECORD_EVERY) {
            self.used_ms.store(now.millis(), Ordering::Relaxed);
        }
    }

    /// Returns the last use that was noted.
    fn noted_use(&self) -> Option<Timestamp> {
        let used = self.used_ms.load(Ordering::Relaxed);
        (used != 0).then(|| Timestamp::from_millis(used))
    }

    /// Returns the last use, if it was not written yet.
    fn unwritten_use(&self) -> Option<Timestamp> {
        self.noted_use().filter(|at| at.millis() != self.written_ms.load(Ordering::Relaxed))
    }

    fn note_written(&self, at: Timestamp) {
        self.written_ms.store(at.millis(), Ordering::Relaxed);
    }
}

impl TenantDirectory {
    /// Returns the last uses of these credentials, by their ids, as far as they are written or were noted by this
    /// server.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn last_uses(&self, ids: Vec<String>) -> Result<HashMap<String, Timestamp>, AccountError> {
        let read = self.0.store.credential_uses(&ids).await;
        let mut uses = read.map_err(|error| AccountError::from_store(&error, "last uses not read"))?;
        for (id, last) in self.all_uses() {
            if let Some(noted) = last.noted_use().filter(|_| ids.contains(&id)) {
                let known = uses.entry(id).or_insert(noted);
                *known = noted.max(*known);
            }
        }
        Ok(uses)
    }

    /// Returns the last use of each credential, with the credential's id.
    fn all_uses(&self) -> Vec<(String, Arc<LastUse>)> {
        let snapshot = self.0.snapshot.load_full();
        let keys = snapshot.callers.values().map(|one| (one.key.id.to_string(), one.last_use.clone()));
        let tokens = snapshot.operators.values().map(|one| (one.token.id.to_string(), one.last_use.clone()));
        keys.chain(tokens).collect()
    }

    /// Writes the uses that were noted, every minute and at the end.
    pub(crate) async fn keep_recording_uses(&self, stopping: CancellationToken) {
        loop {
            let due = self.0.clock.take_reading().monotonic.saturating_plus(RECORD_EVERY);
            let pause = stopping.run_until_cancelled(self.0.clock.wait_until(due)).await;
            self.record_uses().await;
            if pause.is_none() {
                return;
            }
        }
    }

    async fn record_uses(&self) {
        let unwritten: Vec<_> = self
            .all_uses()
            .into_iter()
            .filter_map(|(id, last)| last.unwritten_use().map(|at| ((id, at), last)))
            .collect();
        let (uses, lasts): (Vec<_>, Vec<_>) = unwritten.into_iter().unzip();
        if uses.is_empty() {
            return;
        }
        match self.0.store.record_credential_uses(&uses).await {
            Ok(()) => uses.iter().zip(lasts).for_each(|((_, at), last)| last.note_written(*at)),
            Err(error) => {
                tracing::warn!(error = cause(&error), "last uses not written; the next round writes them");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_told_apart_by_the_minute() {
        let last = LastUse::default();
        let at = |seconds: i64| Timestamp::from_millis(1_781_866_800_000 + seconds * 1000);
        assert_eq!((last.noted_use(), last.unwritten_use()), (None, None));
        last.note_use(at(0));
        last.note_use(at(59));
        assert_eq!(last.unwritten_use(), Some(at(0)));
        last.note_written(at(0));
        assert_eq!((last.noted_use(), last.unwritten_use()), (Some(at(0)), None));
        last.note_use(at(60));
        assert_eq!(last.unwritten_use(), Some(at(60)));
        last.note_use(at(30));
        assert_eq!(last.noted_use(), Some(at(60)));
    }
}
