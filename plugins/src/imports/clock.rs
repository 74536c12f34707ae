//! `clock`: what time it is.

use crate::bindings::kabar::hooks::clock::Host;
use crate::guest::Guest;

impl Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.charge()?;
        Ok(u64::try_from(Guest::now(self).millis()).unwrap_or_default())
    }
}
