//! `config`: the plugin's settings.

use crate::runtime::bindings::kabar::hooks::config::Host;
use crate::runtime::guest_state::GuestState;

impl Host for GuestState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.charge_host_call()?;
        Ok(self.invocation.config.get(key.as_str()).map(ToString::to_string))
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        self.charge_host_call()?;
        Ok(self.invocation.config.keys().map(ToString::to_string).collect())
    }
}
