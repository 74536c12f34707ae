//! Plugins through the door: their whole life, and what they can and cannot do to others.

mod command_line;
pub(crate) mod guests;
mod life;
mod limits;
mod nodes;
mod stage;
mod standing;
mod tenancy;
