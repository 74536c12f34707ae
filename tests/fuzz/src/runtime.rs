//! One runtime for all targets that wait for something.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Bound of a wait that ends by itself: what takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(90);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Waits for this.
///
/// # Panics
/// If it does not end.
pub(crate) fn wait_for<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(async { tokio::time::timeout(HANGS_AFTER, future).await.expect("it hangs") })
}
