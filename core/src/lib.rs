//! Nouns and rules of kabar, and their foundations: store, Meta's wire format, configuration.
//!
//! Knows nothing of actors, of the HTTP surface, or of plugins. `domain` is pure; `store` knows
//! the domain and SQL; `meta` knows the domain and WhatsApp; neither knows the other.

pub mod address_block;
pub mod address_budget;
pub mod boot_clock;
pub mod cause;
pub mod clock;
pub mod config;
pub mod cursor;
pub mod domain;
pub mod encryption;
pub mod fair_bound;
pub mod forward;
pub mod ids;
pub mod meta;
pub mod metrics;
pub mod outbound;
pub mod policy;
pub mod ports;
mod postgres_url;
pub mod process_identity;
pub mod redis;
pub mod store;
pub mod surroundings;
pub mod webhook;
