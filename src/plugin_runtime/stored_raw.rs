//! Messages as WhatsApp sent them, for hooks that see them.

use futures_util::future::BoxFuture;
use kabar_core::domain::account::Account;
use kabar_core::domain::inbound::RawRole;
use kabar_core::domain::wamid::wamid_key;
use kabar_core::store::Store;
use kabar_plugins::RawMessages;

/// The raw items of the store.
pub(super) struct StoredRaw(pub(super) Store);

impl RawMessages for StoredRaw {
    fn read<'a>(&'a self, account: &'a Account, wamid: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let items = self.0.raw_items_of(account.number, &wamid_key(wamid)).await;
            let items = items.inspect_err(|error| tracing::warn!(%error, "a hook sees no raw message"));
            let message = items.ok()?.into_iter().find(|(role, _)| *role == RawRole::Message);
            message.map(|(_, body)| body.to_string())
        })
    }
}
