//! The surface that a listener serves: everything, or only what looks after the server.
//!
//! Invariant: every listener answers through the one gateway.

use std::sync::Arc;

use poem::{Endpoint, Request, Response};

use super::gateway::Gateway;
use super::route::SurfaceScope;

/// The HTTP surface of one listener. Cheap to clone.
#[derive(Clone)]
pub struct HttpSurface {
    gateway: Arc<Gateway>,
    scope: SurfaceScope,
}

impl HttpSurface {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway: Arc::new(gateway), scope: SurfaceScope::Everything }
    }

    /// Returns the surface that answers only `/v1/health`, `/readyz` and `/metrics`.
    #[must_use]
    pub fn health_only(&self) -> Self {
        Self { gateway: self.gateway.clone(), scope: SurfaceScope::Health }
    }
}

impl Endpoint for HttpSurface {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.gateway.answer(request, self.scope).await)
    }
}

impl std::fmt::Debug for HttpSurface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSurface").field("scope", &self.scope).finish_non_exhaustive()
    }
}
