//! The street door of kabar: HTTP, the public contract, and its documentation.
//!
//! Knows the core and the actors' facades; knows nothing of SQL, Redis, ractor or plugins. What
//! clients may rely on is `docs/contract.md`; the OpenAPI document is made from the code here.

mod access;
pub mod accounts;
pub mod admin;
mod app;
pub mod body;
mod contacts;
mod conversations;
pub mod envelope;
pub mod error;
mod examples;
mod idempotency;
pub mod me;
mod messages;
mod params;
mod poll;
mod prefer;
mod render;
mod roster;
pub mod send;
mod tags;
pub mod users;
mod wire;

pub use app::{App, BodyLimits, WhatsAppKeys};
pub use render::Renderer;
