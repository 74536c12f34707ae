//! Plugins through the door: their whole life, and what they can and cannot do to others.

mod command_line;
mod components;
mod erasure;
pub(crate) mod guests;
mod health;
pub(crate) mod hook_crashes;
mod lifecycle;
mod limits;
mod newer_package;
mod nodes;
mod spans;
mod suspension;
mod tenancy;
mod tenant_plugins;
