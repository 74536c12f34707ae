//! The OpenAPI document: made from the operations, polished once, served and committed.
//!
//! Invariant: `openapi.json` beside this crate's sources is this document; a test compares them. The
//! polishing corrects what poem-openapi writes for generators and validators, and adds what the gateway does
//! to every response. The version is 3.0.3 because some generators cannot read 3.1; the same is there in the form of 3.1.

mod answers;
pub(crate) mod credential_rows;
mod enumerations;
pub(crate) mod example_rows;
mod examples;
mod openapi_3_1;
mod polish;
mod requests;
mod schemas;
mod send_examples;
mod send_union;
pub(crate) mod template_rows;
#[cfg(test)]
mod tests;
mod webhooks;

use std::collections::HashMap;
use std::marker::PhantomData;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Map, Value};

/// The title of the document and of the docs page.
const TITLE: &str = "kabar";

/// The polished document.
#[derive(Debug, Clone)]
pub struct OpenApiDocument {
    value: Value,
    json: String,
}

impl OpenApiDocument {
    /// Builds the document of these operations.
    pub(crate) fn of<T: OpenApi>() -> Self {
        let service = OpenApiService::new(DocumentedApi::<T>(PhantomData), TITLE, env!("CARGO_PKG_VERSION"));
        let raw = serde_json::from_str(&service.spec()).unwrap_or_default();
        let value = polish::polish_document(raw);
        let json = format!("{value:#}\n");
        Self { value, json }
    }

    /// Returns the document as a JSON value.
    #[cfg(test)]
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the document as JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Returns the document as YAML text.
    #[must_use]
    pub fn yaml(&self) -> String {
        serde_norway::to_string(&self.value).unwrap_or_default()
    }

    /// Returns the same document in the form of OpenAPI 3.1.
    #[must_use]
    pub fn to_version_3_1(&self) -> Self {
        let value = openapi_3_1::convert_document(&self.value);
        let json = format!("{value:#}\n");
        Self { value, json }
    }

    /// Returns Swagger UI's page up to the body: its script and its style, both inline.
    #[expect(
        clippy::unused_self,
        reason = "the page is the document's, even where its head is written elsewhere"
    )]
    pub(crate) fn swagger_ui_head(&self) -> String {
        let page = OpenApiService::new((), TITLE, "").swagger_ui_html();
        let head = page.rsplit_once("<div id=\"ui\"></div>").map_or(page.as_str(), |(head, _script)| head);
        let head = head.trim_start().replacen("<title>Swagger UI</title>", "<title>kabar API</title>", 1);
        format!("<!doctype html>\n{head}")
    }
}

/// Returns the named schemas.
fn schemas_of(root: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    root.get_mut("components")?.get_mut("schemas")?.as_object_mut()
}

/// The operations' documentation without the operations, which would need a running server.
struct DocumentedApi<T>(PhantomData<fn() -> T>);

impl<T: OpenApi> OpenApi for DocumentedApi<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _routes: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}
