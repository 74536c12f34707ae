//! The HTTP surface of kabar: the public contract and its documentation.
//!
//! Depends on the core, the actors' facades and the plugin host; never on SQL, Redis, ractor or wasmtime.
//! `docs/contract.md` states the guarantees to clients; the OpenAPI document is generated from this code.

mod admin;
mod app;
mod http;
mod meta_webhook;
mod rest;
mod routes;
mod site;
mod spec;
mod v1;

pub use app::{
    AppState, BodyLimits, PendingSandboxKeys, SandboxKeys, SharedSurfaceSettings, SurfaceSettings,
    WhatsAppKeys,
};
pub use http::surface::HttpSurface;
pub use rest::render::ResponseRenderer;
pub use routes::{document, service};
pub use v1::send::MessageDrafts;
