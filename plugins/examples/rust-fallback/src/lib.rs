//! When a message fails because the 24-hour window is closed, sends a template instead.
//!
//! Config: `template`, the name of an approved template; `language`, its code (default `en`).

use kabar_hook::{Change, Event, HookError, MessageStatus, config, hook, log, messages, reject};

/// Kabar's word for WhatsApp's error 131047.
const WINDOW_CLOSED: &str = "outside_24h_window";

fn handle(event: Event) -> Result<(), HookError> {
    let Change::MessageStatus(change) = event.change else { return Ok(()) };
    let message = change.message;
    let closed = message.error.as_ref().is_some_and(|error| error.code == WINDOW_CLOSED);
    // A template needs no window: one that fails so is not ours to repeat.
    if change.status != MessageStatus::Failed || !closed || message.kind == "template" {
        return Ok(());
    }
    let template = config::get("template").ok_or_else(|| reject("the setting `template` is missing"))?;
    let language = config::get("language").unwrap_or_else(|| "en".to_owned());
    let sent = messages::send_template(&message.to, &template, &language)?;
    log::info(&format!("{} failed; sends {template} instead ({sent})", message.id));
    Ok(())
}

hook!(handle);
