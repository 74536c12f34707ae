//! `messages`: sends, checked now and done once the run is committed.

use crate::bindings::kabar::hooks::messages::Host;
use crate::bindings::kabar::hooks::types::Refusal;
use crate::guest::Guest;
use crate::report::Effect;

impl Host for Guest {
    fn send(&mut self, body: String) -> wasmtime::Result<Result<String, Refusal>> {
        self.charge()?;
        let read = self.drafts.read(&body);
        Ok(match read {
            Ok(draft) => self.keep(Effect::Send { body: body.into(), draft }),
            Err(refused) => Err(Refusal {
                code: refused.code.to_string(),
                message: refused.message.to_string(),
                param: refused.param.map(|param| param.to_string()),
            }),
        })
    }
}
