//! The operations of tenants, one module for each noun.
//!
//! Invariant: a module translates between the wire and the actors; it holds no state.

pub mod accounts;
pub mod contacts;
pub mod conversations;
pub mod events;
pub mod health;
pub mod me;
pub mod messages;
pub mod plugins;
pub mod send;
pub mod users;
pub mod webhook_deliveries;
pub mod webhook_subscriptions;
