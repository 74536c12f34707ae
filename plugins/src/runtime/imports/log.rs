//! `log`: lines for the plugin's owner.

use kabar_core::domain::run::LogLevel;

use crate::runtime::bindings::kabar::hooks::log::{Host, Level as WitLevel};
use crate::runtime::guest_state::GuestState;

impl Host for GuestState {
    fn write(&mut self, level: WitLevel, text: String) -> wasmtime::Result<()> {
        self.charge_host_call()?;
        let level = match level {
            WitLevel::Debug => LogLevel::Debug,
            WitLevel::Info => LogLevel::Info,
            WitLevel::Warn => LogLevel::Warn,
            WitLevel::Error => LogLevel::Error,
        };
        self.log.write_line(level, &text);
        Ok(())
    }
}
