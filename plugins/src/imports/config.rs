//! `config`: the plugin's settings.

use crate::bindings::kabar::hooks::config::Host;
use crate::guest::Guest;

impl Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        Ok(self.invocation.config.get(key.as_str()).map(ToString::to_string))
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        self.charge()?;
        Ok(self.invocation.config.keys().map(ToString::to_string).collect())
    }
}
