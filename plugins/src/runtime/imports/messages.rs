//! `messages`: sends, validated now and carried out once the run is committed.

use kabar_core::domain::message::OutgoingMessage;
use kabar_core::domain::message_details::MessageSource;

use crate::ports::DraftedRequest;
use crate::report::RequestedEffect;
use crate::runtime::bindings::kabar::hooks::messages::Host;
use crate::runtime::bindings::kabar::hooks::types::Refusal;
use crate::runtime::guest_state::GuestState;

/// Most bytes of a body; the largest that the API's rules accept has fewer.
const BODY_BYTES_MAX: usize = 256 << 10;

impl Host for GuestState {
    fn send(&mut self, body: String) -> wasmtime::Result<Result<String, Refusal>> {
        self.charge_host_call()?;
        if body.len() > BODY_BYTES_MAX {
            return Ok(Err(Refusal {
                code: "payload_too_large".to_owned(),
                message: format!("the body may have {BODY_BYTES_MAX} bytes"),
                param: None,
            }));
        }
        let read = self.drafts.read(&body);
        Ok(match read {
            Ok(draft) => {
                let draft = match draft {
                    DraftedRequest::Send(outgoing) => {
                        DraftedRequest::Send(OutgoingMessage { source: MessageSource::Hook, ..outgoing })
                    }
                    DraftedRequest::MarkRead(mark) => DraftedRequest::MarkRead(mark),
                };
                self.record_effect(RequestedEffect::Send { body: body.into(), draft })
            }
            Err(refused) => Err(Refusal {
                code: refused.code.to_string(),
                message: refused.message.to_string(),
                param: refused.param.map(|param| param.to_string()),
            }),
        })
    }
}
