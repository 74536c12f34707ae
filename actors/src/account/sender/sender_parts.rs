//! Dependencies of a sender.

use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::read_receipt::ReadReceipt;
use kabar_core::fair_bound::FairBound;
use kabar_core::meta::graph::{GraphClient, ReceiptRefusal};
use tokio_util::task::TaskTracker;

use crate::account::handle::AccountHandle;
use crate::account::loaded_account::LoadedAccount;
use crate::account::look_queue::LookQueue;
use crate::context::Context;

/// Way to WhatsApp of all senders. Cheap to clone.
#[derive(Clone)]
pub(crate) struct GraphCalls {
    pub(crate) client: GraphClient,
    /// Calls under way.
    pub(crate) calls: Arc<FairBound>,
    /// Calls that have no recorded outcome yet.
    pub(crate) unrecorded: TaskTracker,
    /// Accounts whose properties are to be asked for.
    pub(crate) profiles: LookQueue,
    /// Accounts whose templates are to be asked for.
    pub(crate) templates: LookQueue,
}

/// Most calls to WhatsApp of all accounts under way; each holds a socket, or a stream of a connection.
const CALLS_MAX: usize = 4096;

impl GraphCalls {
    /// Creates the way of this client.
    pub(crate) fn new(client: GraphClient, profiles: LookQueue, templates: LookQueue) -> Self {
        let calls = FairBound::new("graph_calls", CALLS_MAX);
        Self { client, calls, unrecorded: TaskTracker::new(), profiles, templates }
    }

    /// Reports a message to WhatsApp as read.
    pub(super) async fn mark_read(
        &self,
        account: &Account,
        receipt: &ReadReceipt,
    ) -> Result<(), ReceiptRefusal> {
        let _permit = self.calls.acquire(account.organisation_id).await.ok();
        self.client.mark_read(account, receipt).await
    }
}

/// Dependencies of a sender. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SenderParts {
    pub(crate) context: Arc<Context>,
    pub(crate) account: AccountHandle,
    pub(crate) loaded: Arc<LoadedAccount>,
    pub(crate) graph_calls: GraphCalls,
}
