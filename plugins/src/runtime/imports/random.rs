//! `random`: drawn from the run's seed.

use rand::Rng as _;

use crate::runtime::bindings::kabar::hooks::random::Host;
use crate::runtime::guest_state::GuestState;

/// Most bytes that one call returns.
const BYTES_MAX: usize = 4096;

impl Host for GuestState {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        self.charge_host_call()?;
        let mut drawn = vec![0; usize::try_from(count).unwrap_or(BYTES_MAX).min(BYTES_MAX)];
        self.random.fill_bytes(&mut drawn);
        Ok(drawn)
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        self.charge_host_call()?;
        Ok(self.random.next_u64())
    }
}
