//! Pages that never change while the server runs: the document, Swagger UI, the way there.
//!
//! Everything comes from the binary. The policy on the docs page lets it load nothing from
//! elsewhere, whatever its script asks for.

use bytes::Bytes;
use kabar_core::domain::etag;
use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION,
    X_CONTENT_TYPE_OPTIONS,
};
use poem::http::{Method, StatusCode};
use poem::{Request, Response};
use sha2::{Digest as _, Sha256};

use crate::spec::Document;

/// A proxy or browser asks again, with the tag, and is told 304.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Swagger UI carries its script and style in the page, and draws with `data:` images.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; \
     font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

struct Page {
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
    tag: String,
}

impl Page {
    fn new(path: &'static str, content_type: &'static str, body: String) -> Self {
        use std::fmt::Write as _;
        let mut tag = String::from("W/\"");
        for byte in Sha256::digest(&body).into_iter().take(12) {
            // Writing into a String cannot fail.
            let _infallible = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        Self { path, content_type, body: body.into(), tag }
    }

    fn answer(&self, request: &Request) -> Response {
        let mut known = request.headers().get_all(IF_NONE_MATCH).into_iter();
        let unchanged = known.any(|line| line.to_str().is_ok_and(|line| etag::matches(line, &self.tag)));
        let response = Response::builder().header(ETAG, &self.tag).header(CACHE_CONTROL, REVALIDATE);
        if unchanged {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response =
            response.header(CONTENT_TYPE, self.content_type).header(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        response.header(CONTENT_SECURITY_POLICY, POLICY).body(self.body.clone())
    }
}

/// See the module.
pub(super) struct Pages(Vec<Page>);

const HOME: &str = "/";
const DOCS: &str = "/docs";

impl Pages {
    pub(super) fn new(document: &Document) -> Self {
        Self(vec![
            Page::new("/v1/openapi.json", "application/json", document.json().to_owned()),
            Page::new("/v1/openapi.yaml", "application/yaml", document.yaml()),
            Page::new(DOCS, "text/html; charset=utf-8", document.swagger_ui()),
        ])
    }

    /// Where the pages are.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|page| page.path).chain([HOME])
    }

    /// The page at the request's path, if there is one and it is asked for with GET.
    pub(super) fn answer(&self, request: &Request) -> Option<Response> {
        if request.method() != Method::GET {
            return None;
        }
        let path = request.uri().path();
        if path == HOME {
            return Some(Response::builder().status(StatusCode::FOUND).header(LOCATION, DOCS).finish());
        }
        self.0.iter().find(|page| page.path == path).map(|page| page.answer(request))
    }
}
