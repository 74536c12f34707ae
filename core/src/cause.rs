//! Errors as log fields: whole, with everything that caused them.

use std::error::Error;

/// An error as `tracing` records it, sources included: `tracing::error!(error = cause(&error), "…")`.
pub fn cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error
}
