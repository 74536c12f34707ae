//! The interfaces of `kabar:hooks` that guests import: one file each.

mod clock;
mod config;
mod conversations;
mod http;
mod kv;
mod log;
mod messages;
mod random;
mod secrets;

use crate::report::RequestedEffect;
use crate::runtime::bindings::kabar::hooks::types;
use crate::runtime::guest_state::GuestState;

impl types::Host for GuestState {}

impl GuestState {
    /// Records an effect and returns its reference, unless the run has reached its limit of effects.
    fn record_effect(&mut self, effect: RequestedEffect) -> Result<String, types::Refusal> {
        let max = self.invocation.limits.effects;
        if self.effects.len() >= max {
            return Err(types::Refusal {
                code: "limit_reached".to_owned(),
                message: format!("a run may ask for {max} effects"),
                param: None,
            });
        }
        self.effects.push(effect);
        Ok(format!("{}#{}", self.invocation.event.id, self.effects.len()))
    }
}

fn invalid_param(param: &str, message: &str) -> types::Refusal {
    types::Refusal {
        code: "invalid_field_value".to_owned(),
        message: message.to_owned(),
        param: Some(param.to_owned()),
    }
}
