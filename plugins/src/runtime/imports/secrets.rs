//! `secrets`: the plugin's secrets.

use crate::runtime::bindings::kabar::hooks::secrets::Host;
use crate::runtime::guest_state::GuestState;

impl Host for GuestState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.charge_host_call()?;
        // Revealed to the guest, because the secret belongs to its plugin.
        Ok(self.invocation.secrets.get(key.as_str()).map(|secret| secret.reveal().to_owned()))
    }
}
