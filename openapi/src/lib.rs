//! The HTTP surface of kabar: the public contract and its documentation.
//!
//! Depends on the core, the actors' facades and the plugin host; never on SQL, Redis, ractor or wasmtime.
//! `docs/contract.md` states the guarantees to clients; the OpenAPI document is generated from this code.

pub mod admin;
mod app;
pub mod http;
pub mod meta_webhook;
pub mod rest;
mod routes;
mod site;
mod spec;
pub mod v1;

pub use app::{AppState, BodyLimits, PendingSandboxKeys, SandboxKeys, WhatsAppKeys};
pub use rest::render::ResponseRenderer;
pub use routes::{document, json, service, yaml};
