//! The street door of kabar: HTTP, the public contract, and its documentation.
//!
//! Knows the core, the actors' facades and the host of hooks; knows nothing of SQL, Redis, ractor or
//! wasmtime. What clients may rely on is `docs/contract.md`; the OpenAPI document is made from the code here.

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
