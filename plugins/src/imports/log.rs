//! `log`: lines for the plugin's owner.

use crate::bindings::kabar::hooks::log::{Host, Level as WitLevel};
use crate::guest::Guest;
use crate::report::Level;

impl Host for Guest {
    fn write(&mut self, level: WitLevel, text: String) -> wasmtime::Result<()> {
        self.charge()?;
        let level = match level {
            WitLevel::Debug => Level::Debug,
            WitLevel::Info => Level::Info,
            WitLevel::Warn => Level::Warn,
            WitLevel::Error => Level::Error,
        };
        self.log.write(level, &text);
        Ok(())
    }
}
