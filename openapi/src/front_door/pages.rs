//! Pages that never change while the server runs: the document, Swagger UI, the way there.
//!
//! Everything comes from the binary. The policy on the docs page lets it load nothing from
//! elsewhere, whatever its script asks for.

use bytes::Bytes;
use kabar_core::domain::etag;
use poem::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use poem::http::{Method, StatusCode};
use poem::{Request, Response};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::encoding::Encoding;
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
    compressed: [OnceCell<Option<(HeaderValue, Bytes)>>; Encoding::ALL.len()],
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
        Self { path, content_type, body: body.into(), tag, compressed: Default::default() }
    }

    async fn answer(&self, request: &Request, encoding: Option<Encoding>) -> Response {
        let mut known = request.headers().get_all(IF_NONE_MATCH).into_iter();
        let unchanged = known.any(|line| line.to_str().is_ok_and(|line| etag::matches(line, &self.tag)));
        let response = Response::builder().header(ETAG, &self.tag).header(CACHE_CONTROL, REVALIDATE);
        if unchanged {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response =
            response.header(CONTENT_TYPE, self.content_type).header(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        let response = response.header(CONTENT_SECURITY_POLICY, POLICY);
        match self.compressed(encoding).await {
            Some((name, small)) => response.header(CONTENT_ENCODING, name).body(small.clone()),
            None => response.body(self.body.clone()),
        }
    }

    /// The docs page has 2 MB, and everybody may ask for it: each coding is worked out once.
    async fn compressed(&self, encoding: Option<Encoding>) -> Option<&(HeaderValue, Bytes)> {
        let encoding = encoding?;
        let mut cells = Encoding::ALL.into_iter().zip(&self.compressed);
        let (_, cell) = cells.find(|(coding, _)| *coding == encoding)?;
        cell.get_or_init(|| encoding.apply(&self.body)).await.as_ref()
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
    pub(super) async fn answer(&self, request: &Request, encoding: Option<Encoding>) -> Option<Response> {
        if request.method() != Method::GET {
            return None;
        }
        let path = request.uri().path();
        if path == HOME {
            return Some(Response::builder().status(StatusCode::FOUND).header(LOCATION, DOCS).finish());
        }
        let page = self.0.iter().find(|page| page.path == path)?;
        Some(page.answer(request, encoding).await)
    }
}
