//! Pages that never change while the server runs: the start page, the document, Swagger UI, the guides.
//!
//! Everything comes from the binary. The content security policy forbids the pages to load anything from
//! elsewhere, whatever their scripts request. In `kabar dev` only, Swagger UI requests the sandbox's keys
//! from this server and fills them in; the server returns them under loopback names only, and never to a proxy.
//! Elsewhere the browser forgets what was typed when the page is closed.

mod guides;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use kabar_core::cause::cause;
use kabar_core::domain::etag;
use poem::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, HeaderValue,
    IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Request, Response};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::app::PendingSandboxKeys;
use crate::http::compression::ContentCoding;
use crate::http::route::Resource;
use crate::rest::error::ApiError;
use crate::spec::OpenApiDocument;

/// A proxy or browser revalidates with the tag, and gets 304.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Swagger UI has its script and style inline, and draws with `data:` images.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; \
     font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A page, built on its first request, so that a server start does not wait for it. The docs page takes tens
/// of milliseconds, so it is built off the async threads and delays no poll.
struct SitePage {
    path: String,
    content_type: &'static str,
    make: Arc<dyn Fn() -> String + Send + Sync>,
    made: OnceCell<PageContent>,
}

struct PageContent {
    body: Bytes,
    tag: String,
    compressed: [OnceCell<Option<(HeaderValue, Bytes)>>; ContentCoding::ALL.len()],
}

impl SitePage {
    fn new(
        path: impl Into<String>,
        content_type: &'static str,
        make: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self { path: path.into(), content_type, make: Arc::new(make), made: OnceCell::new() }
    }

    async fn load_content(&self) -> Result<&PageContent, ApiError> {
        let making = || {
            let make = self.make.clone();
            tokio::task::spawn_blocking(move || PageContent::from_body(make()))
        };
        let made = self.made.get_or_try_init(making).await;
        made.map_err(|error| {
            tracing::error!(path = self.path, error = cause(&error), "page not made");
            ApiError::internal_error()
        })
    }

    async fn answer_request(
        &self,
        request: &Request,
        encoding: Option<ContentCoding>,
    ) -> Result<Response, ApiError> {
        let made = self.load_content().await?;
        let mut known = request.headers().get_all(IF_NONE_MATCH).into_iter();
        let unchanged = known.any(|line| line.to_str().is_ok_and(|line| etag::tag_matches(line, &made.tag)));
        let response = Response::builder().header(ETAG, &made.tag).header(CACHE_CONTROL, REVALIDATE);
        if unchanged {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let response =
            response.header(CONTENT_TYPE, self.content_type).header(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        let response = response.header(CONTENT_SECURITY_POLICY, POLICY);
        Ok(match made.compressed_body(encoding).await {
            Some((name, small)) => response.header(CONTENT_ENCODING, name).body(small.clone()),
            None => response.body(made.body.clone()),
        })
    }
}

impl PageContent {
    fn from_body(body: String) -> Self {
        use std::fmt::Write as _;
        let mut tag = String::from("W/\"");
        for byte in Sha256::digest(&body).into_iter().take(12) {
            // Writing into a String cannot fail.
            let _infallible = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        Self { body: body.into(), tag, compressed: Default::default() }
    }

    /// Returns the compressed body. The docs page has 2 MB and is public, so each coding is computed once.
    async fn compressed_body(&self, encoding: Option<ContentCoding>) -> Option<&(HeaderValue, Bytes)> {
        let encoding = encoding?;
        let mut cells = ContentCoding::ALL.into_iter().zip(&self.compressed);
        let (_, cell) = cells.find(|(coding, _)| *coding == encoding)?;
        cell.get_or_init(|| encoding.compress_body(&self.body)).await.as_ref()
    }
}

/// The pages of the site.
pub(super) struct SitePages {
    pages: Vec<SitePage>,
    sandbox_keys: Option<PendingSandboxKeys>,
}

const HTML: &str = "text/html; charset=utf-8";
/// Inline icon of each page, so that no browser requests one.
const ICON: &str = include_str!("site/icon.html");
const STYLE: &str = include_str!("site/style.css");
/// Path at which Swagger UI requests the sandbox's keys.
const SANDBOX: &str = Resource::SandboxKeys.path_template();

impl SitePages {
    pub(super) fn new(
        document: &'static LazyLock<OpenApiDocument>,
        sandbox_keys: Option<PendingSandboxKeys>,
    ) -> Self {
        let filled = sandbox_keys.is_some();
        let mut pages = vec![
            SitePage::new(Resource::StartPage.path_template(), HTML, move || start_page(filled)),
            SitePage::new(Resource::JsonDocument.path_template(), "application/json", || {
                document.json().to_owned()
            }),
            SitePage::new(Resource::Json31Document.path_template(), "application/json", || {
                document.to_version_3_1().json().to_owned()
            }),
            SitePage::new(Resource::YamlDocument.path_template(), "application/yaml", || document.yaml()),
            SitePage::new(Resource::DocsPage.path_template(), HTML, move || docs_page(document, filled)),
        ];
        pages.extend(
            guides::ALL.iter().map(|guide| SitePage::new(guide.page_path(), HTML, || guide_page(guide))),
        );
        Self { pages, sandbox_keys }
    }

    /// Returns `true` for the path of a page.
    pub(super) fn has_page(&self, path: &str) -> bool {
        self.pages.iter().any(|page| page.path == path) || (self.sandbox_keys.is_some() && path == SANDBOX)
    }

    /// Answers a GET request for a page; `None` for other paths and methods.
    pub(super) async fn answer_request(
        &self,
        request: &Request,
        encoding: Option<ContentCoding>,
    ) -> Result<Option<Response>, ApiError> {
        if request.method() != Method::GET {
            return Ok(None);
        }
        let path = request.uri().path();
        if let Some(sandbox_keys) = self.sandbox_keys.as_ref().filter(|_| path == SANDBOX) {
            return Ok(Some(answer_sandbox_keys(sandbox_keys, request)));
        }
        let Some(page) = self.pages.iter().find(|page| page.path == path) else { return Ok(None) };
        page.answer_request(request, encoding).await.map(Some)
    }
}

/// Returns `true` when a header tells of a proxy. What listens on loopback may be published by one, under a `Host` of
/// its choice.
fn is_proxied(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded")
    })
}

/// Returns the sandbox's keys. A page of another host name that resolves to this machine gets nothing.
fn answer_sandbox_keys(sandbox_keys: &PendingSandboxKeys, request: &Request) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let ours = matches!(name, "localhost" | "127.0.0.1" | "[::1]") && !is_proxied(request.headers());
    match sandbox_keys.get().filter(|_| ours) {
        Some(keys) => Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header(CACHE_CONTROL, "no-store")
            .body(
                json!({"api_key": keys.api_key.reveal(), "operator_token": keys.operator_token.reveal()})
                    .to_string(),
            ),
        None => Response::builder().status(StatusCode::NO_CONTENT).finish(),
    }
}

fn docs_page(document: &OpenApiDocument, filled: bool) -> String {
    let script = if filled { include_str!("site/sandbox.js") } else { include_str!("site/forget.js") };
    // A text `</script>` in the document would end the script; JSON may escape the slash.
    let spec = document.json().trim_end().replace("</", "<\\/");
    let ours = include_str!("site/docs.html")
        .replacen("{persist}", if filled { "true" } else { "false" }, 1)
        .replacen("{sandbox}", script.trim_end(), 1);
    document.swagger_ui_head().replacen("</title>", &format!("</title>\n{ICON}"), 1)
        + &ours.replacen("{spec}", &spec, 1)
}

fn start_page(filled: bool) -> String {
    let cards = |operators: bool| {
        let ours = guides::ALL.iter().filter(|guide| guide.operators == operators);
        let cards = ours.map(|guide| {
            let (path, title, says) = (guide.page_path(), guide.title, guide.says);
            format!("<a class=\"card\" href=\"{path}\"><b>{title}</b><span>{says}</span></a>")
        });
        cards.collect::<Vec<_>>().join("\n")
    };
    let filled = if filled { "; the sandbox's key is filled in" } else { "" };
    include_str!("site/start.html")
        .replacen("{icon}", ICON, 1)
        .replacen("{style}", STYLE, 1)
        .replacen("{version}", env!("CARGO_PKG_VERSION"), 1)
        .replacen("{filled}", filled, 1)
        .replacen("{guides}", &cards(false), 1)
        .replacen("{operator_guides}", &cards(true), 1)
}

fn guide_page(guide: &guides::GuidePage) -> String {
    include_str!("site/guide.html")
        .replacen("{title}", guide.title, 1)
        .replacen("{icon}", ICON, 1)
        .replacen("{style}", STYLE, 1)
        .replacen("{text}", &guide.render_html(), 1)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use kabar_core::domain::account::Secret;

    use super::*;
    use crate::app::SandboxKeys;

    fn ask(headers: &[(&str, &str)]) -> StatusCode {
        let keys = OnceLock::from(SandboxKeys {
            api_key: Secret::new("kdv_test_1"),
            operator_token: Secret::new("kop_1"),
        });
        let mut request = Request::builder().uri_str(SANDBOX);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer_sandbox_keys(&Arc::new(keys), &request.finish()).status()
    }

    #[test]
    fn the_sandbox_keys_are_for_this_machine_only() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"] {
            assert_eq!(ask(&[("Host", host)]), StatusCode::OK, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.7:8080", ""] {
            assert_eq!(ask(&[("Host", host)]), StatusCode::NO_CONTENT, "{host}");
        }
        assert_eq!(ask(&[]), StatusCode::NO_CONTENT);
        for (name, value) in [
            ("Forwarded", "for=203.0.113.7"),
            ("Via", "1.1 tunnel"),
            ("X-Forwarded-For", "203.0.113.7"),
            ("X-Forwarded-Host", "kabar.example"),
            ("X-Forwarded-Proto", "https"),
            ("X-Real-Ip", "203.0.113.7"),
        ] {
            assert_eq!(ask(&[("Host", "localhost"), (name, value)]), StatusCode::NO_CONTENT, "{name}");
        }
    }
}
