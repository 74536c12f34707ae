//! The street door of kabar: HTTP, the public contract, and its documentation.
//!
//! Knows the core, the actors' facades and the host of hooks; knows nothing of SQL, Redis, ractor or
//! wasmtime. What clients may rely on is `docs/contract.md`; the OpenAPI document is made from the code here.

pub mod access;
pub mod accounts;
pub mod admin;
mod app;
pub mod body;
pub mod contacts;
pub mod conversations;
pub mod envelope;
pub mod error;
pub mod events;
mod examples;
mod front_door;
pub mod health;
pub mod idempotency;
pub mod me;
pub mod messages;
pub mod params;
pub mod plugins;
pub mod poll;
mod prefer;
mod render;
mod roster;
mod routes;
pub mod send;
mod spec;
pub mod tags;
pub mod users;
pub mod webhook_deliveries;
pub mod webhook_subscriptions;
pub mod whatsapp;
pub mod wire;

pub use app::{AppState, BodyLimits, PendingSandboxKeys, SandboxKeys, WhatsAppKeys};
pub use render::ResponseRenderer;
pub use routes::{document, json, service, yaml};
