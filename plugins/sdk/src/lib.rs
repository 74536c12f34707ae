//! Write hooks for kabar in Rust.
//!
//! ```ignore
//! use kabar_hook::{Change, Event, HookError, MessageStatus, hook, log};
//!
//! fn handle(event: Event) -> Result<(), HookError> {
//!     if let Change::MessageStatus(change) = event.change
//!         && change.status == MessageStatus::Failed
//!     {
//!         log::warn(&format!("{} failed", change.message.id));
//!     }
//!     Ok(())
//! }
//!
//! hook!(handle);
//! ```
//!
//! Each module is one interface of the package `kabar:hooks`; what a hook does not use, it does not
//! import. `docs/hooks.md` tells how to build and try a hook.
//!
//! The types are those of `kabar:hooks@1.0.0`, or of `@1.1.0` with the feature `v1_1`: identifiers of contacts,
//! details of messages, the message as WhatsApp sent it, and types of events that 1.0.0 calls `Change::Other`.
//! The feature changes types, so it is for the crate of a hook, not for a library between the two.

/// What `wit-bindgen` makes of `kabar:hooks@1.0.0`.
#[cfg(not(feature = "v1_1"))]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "status-hook",
        pub_export_macro: true,
        default_bindings_module: "kabar_hook::bindings",
    });
}

/// What `wit-bindgen` makes of `kabar:hooks@1.1.0`.
#[cfg(feature = "v1_1")]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit-1.1",
        world: "status-hook",
        pub_export_macro: true,
        default_bindings_module: "kabar_hook::bindings",
    });
}

pub use bindings::kabar::hooks::types::{
    Account, Change, Contact, Conversation, ConversationStatus, Direction, Event, HookError, Message,
    MessageError, MessageStatus, Refusal, StatusChange, User,
};
#[cfg(feature = "v1_1")]
pub use bindings::kabar::hooks::types::{
    FieldValue, GroupSender, Identifier, IdentityUpdate, MessageContext, MessageEdit, Reaction,
};

/// Exports a function `fn(Event) -> Result<(), HookError>` as the hook.
#[macro_export]
macro_rules! hook {
    ($handle:path) => {
        struct KabarHook;

        impl $crate::bindings::exports::kabar::hooks::handler::Guest for KabarHook {
            fn handle(event: $crate::Event) -> Result<(), $crate::HookError> {
                $handle(event)
            }
        }

        $crate::bindings::export!(KabarHook with_types_in $crate::bindings);
    };
}

/// Call me again later.
pub fn retry(reason: impl Into<String>) -> HookError {
    HookError::Retry(reason.into())
}

/// I do not want this event.
pub fn reject(reason: impl Into<String>) -> HookError {
    HookError::Reject(reason.into())
}

impl From<Refusal> for HookError {
    /// What the API refuses once it refuses again: the event is put aside, with the API's reason.
    fn from(refused: Refusal) -> Self {
        let field = refused.param.map(|param| format!(" ({param})")).unwrap_or_default();
        Self::Reject(format!("{}{field}: {}", refused.code, refused.message))
    }
}

/// Lines for the plugin's owner.
pub mod log {
    use crate::bindings::kabar::hooks::log::{Level, write};

    /// For who looks closely.
    pub fn debug(text: &str) {
        write(Level::Debug, text);
    }

    /// In the course of things.
    pub fn info(text: &str) {
        write(Level::Info, text);
    }

    /// Odd.
    pub fn warn(text: &str) {
        write(Level::Warn, text);
    }

    /// Wrong.
    pub fn error(text: &str) {
        write(Level::Error, text);
    }
}

/// The plugin's settings.
pub mod config {
    pub use crate::bindings::kabar::hooks::config::{get, keys};
}

/// The plugin's secrets.
pub mod secrets {
    pub use crate::bindings::kabar::hooks::secrets::get;
}

/// A durable map of the plugin's own.
pub mod kv {
    pub use crate::bindings::kabar::hooks::kv::{KvError, add, delete, get, list_keys, set};

    /// The text of a key; `None` also when its value is no text.
    pub fn text(key: &str) -> Option<String> {
        String::from_utf8(get(key)?).ok()
    }

    /// The number of a key, as [`add`] keeps it; 0 while there is none.
    pub fn number(key: &str) -> i64 {
        text(key).and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }

    impl From<KvError> for crate::HookError {
        fn from(error: KvError) -> Self {
            Self::Reject(
                match error {
                    KvError::QuotaExceeded => "the plugin's map is full",
                    KvError::InvalidKey => "a key has 1 to 512 bytes",
                    KvError::NotANumber => "the value is not a number",
                }
                .to_owned(),
            )
        }
    }
}

/// Calls to the plugin's allowed hosts.
pub mod http {
    pub use crate::bindings::kabar::hooks::http::{HttpError, Request, Response, fetch};

    /// Posts JSON.
    pub fn post_json(url: &str, body: &str) -> Result<Response, HttpError> {
        fetch(&Request {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Some(body.as_bytes().to_vec()),
            timeout_ms: None,
        })
    }

    impl From<HttpError> for crate::HookError {
        /// What may work later is tried again.
        fn from(error: HttpError) -> Self {
            match error {
                HttpError::TimedOut => Self::Retry("no answer in time".to_owned()),
                HttpError::Failed(why) => Self::Retry(why),
                HttpError::HostNotAllowed(host) => {
                    Self::Reject(format!("{host} is not one of the plugin's allowed hosts"))
                }
                HttpError::InvalidRequest(why) => Self::Reject(why),
                HttpError::TooManyCalls => Self::Reject("too many calls in one run".to_owned()),
                HttpError::TooLarge => Self::Reject("the answer is too large".to_owned()),
            }
        }
    }
}

/// Messages of the event's account.
pub mod messages {
    pub use crate::bindings::kabar::hooks::messages::send;
    use crate::{HookError, json};

    /// Sends a text.
    pub fn send_text(to: &str, body: &str) -> Result<String, HookError> {
        Ok(send(&format!(
            r#"{{"messaging_product":"whatsapp","to":{},"type":"text","text":{{"body":{}}}}}"#,
            json(to),
            json(body)
        ))?)
    }

    /// Sends a template without parameters.
    pub fn send_template(to: &str, name: &str, language: &str) -> Result<String, HookError> {
        Ok(send(&format!(
            r#"{{"messaging_product":"whatsapp","to":{},"type":"template","template":{{"name":{},"language":{{"code":{}}}}}}}"#,
            json(to),
            json(name),
            json(language)
        ))?)
    }
}

/// Threads of the event's account.
pub mod conversations {
    pub use crate::bindings::kabar::hooks::conversations::{Assignment, Changes, update};
}

/// What time it is.
pub mod clock {
    pub use crate::bindings::kabar::hooks::clock::now;
}

/// Randomness that nobody can guess.
pub mod random {
    pub use crate::bindings::kabar::hooks::random::{bytes, number};
}

/// A text as JSON, quotes included.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for sign in text.chars() {
        match sign {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            sign if u32::from(sign) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(sign))),
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}
