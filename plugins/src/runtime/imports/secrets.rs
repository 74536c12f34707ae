//! `secrets`: the plugin's secrets.

use crate::runtime::bindings::kabar::hooks::secrets::Host;
use crate::runtime::guest_state::GuestState;

impl Host for GuestState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.charge_host_call()?;
        // Told to the guest, whose secret it is.
        Ok(self.invocation.secrets.get(key.as_str()).map(|secret| secret.reveal().to_owned()))
    }
}
