//! Every request and response: authentication, forwarding, body limits, compression and headers.
//!
//! Invariant: every request passes `gateway`, whatever its path and its outcome. Operations do not depend
//! on this folder.

pub(crate) mod access;
pub(crate) mod auth;
pub(crate) mod auth_refusals;
pub(crate) mod body_budget;
mod budget_fields;
pub(crate) mod compression;
pub(crate) mod context;
pub(crate) mod cors;
pub(crate) mod forward;
pub(crate) mod gateway;
pub(crate) mod gzip;
pub(crate) mod methods;
mod problem;
pub(crate) mod refused_login;
mod request_body;
pub(crate) mod response;
pub(crate) mod route;
pub(crate) mod sender;
pub(crate) mod surface;
pub(crate) mod upload_permits;
