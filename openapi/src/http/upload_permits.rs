//! Permits of uploads: so many components are received and held in memory at once.
//!
//! Invariant: a permit is taken before the body is read and lasts as long as the request. Organisations share the
//! permits, so one that uploads slowly or much holds up no other.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::fair_bound::{FairBound, FairPermit};
use kabar_core::ids::OrganisationId;

use crate::rest::error::{ApiError, ErrorCode};

/// Uploads received at once. Each has at most the bytes of a component.
const UPLOADS_MAX: usize = 4;
/// Uploads of one organisation that wait.
const WAITING_MAX: usize = 16;
/// Longest wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Permit of an upload, kept in its request.
#[derive(Debug, Clone)]
pub(crate) struct UploadPermit {
    _permit: Arc<FairPermit>,
}

/// Permits of all uploads.
pub(crate) struct UploadPermits(Arc<FairBound>);

impl UploadPermits {
    pub(crate) fn new() -> Self {
        Self(FairBound::with_maxima("uploads", UPLOADS_MAX, usize::MAX, WAITING_MAX))
    }

    /// Returns the bound, for the metrics.
    pub(crate) const fn bound(&self) -> &Arc<FairBound> {
        &self.0
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// `overloaded` when none comes in time.
    pub(crate) async fn acquire_permit(
        &self,
        organisation: OrganisationId,
        clock: &Clock,
    ) -> Result<UploadPermit, ApiError> {
        let permit = tokio::select! {
            permit = self.0.acquire(organisation) => permit.ok(),
            () = clock.sleep_for(WAIT_MAX) => None,
        };
        let permit = permit.ok_or_else(|| {
            ApiError::new(ErrorCode::Overloaded, "too many components are being received; try again shortly")
        })?;
        Ok(UploadPermit { _permit: Arc::new(permit) })
    }
}
