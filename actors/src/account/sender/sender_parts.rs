//! Dependencies of a sender.

use std::sync::Arc;

use kabar_core::meta::graph::GraphClient;
use tokio_util::task::TaskTracker;

use crate::account::handle::AccountHandle;
use crate::account::loaded_account::LoadedAccount;
use crate::account::look_queue::LookQueue;
use crate::context::Context;

/// Way to WhatsApp of all senders. Cheap to clone.
#[derive(Clone)]
pub(crate) struct GraphCalls {
    pub(crate) client: GraphClient,
    /// Calls that have no recorded outcome yet.
    pub(crate) unrecorded: TaskTracker,
    /// Accounts whose properties are to be asked for.
    pub(crate) profiles: LookQueue,
}

/// Dependencies of a sender. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SenderParts {
    pub(crate) context: Arc<Context>,
    pub(crate) account: AccountHandle,
    pub(crate) loaded: Arc<LoadedAccount>,
    pub(crate) graph_calls: GraphCalls,
}
