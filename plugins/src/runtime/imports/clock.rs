//! `clock`: the current time of the run.

use crate::runtime::bindings::kabar::hooks::clock::Host;
use crate::runtime::guest_state::GuestState;

impl Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.charge_host_call()?;
        Ok(u64::try_from(GuestState::now(self).millis()).unwrap_or_default())
    }
}
