//! Cross-origin calls from browsers: allowed from listed origins, off otherwise.
//!
//! The docs page has the server's own origin and does not need this. Credentials are keys in a header, never
//! cookies, so `Access-Control-Allow-Credentials` is never sent.

use poem::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Request, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer");
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "Allow, Cache-Status, ETag, Idempotent-Replayed, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, \
     X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id",
);
/// Time in seconds for which a browser may cache a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The listed origins.
pub(super) struct CorsPolicy<'a>(pub(super) &'a [String]);

impl CorsPolicy<'_> {
    /// Returns the request's origin, if it is listed.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.0.iter().any(|listed| listed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Answers a preflight of a listed origin; a preflight carries no key.
    pub(super) fn answer_preflight(request: &Request, origin: Option<&HeaderValue>) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        origin.filter(|_| asks)?;
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(response)
    }
}

/// Lets pages of a listed origin read the response.
pub(super) fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preflight(cors: &CorsPolicy<'_>, origin: &str) -> Option<Response> {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .finish();
        CorsPolicy::answer_preflight(&request, cors.allowed_origin(request.headers()).as_ref())
    }

    #[test]
    fn only_listed_origins_pass() {
        let listed = ["https://inbox.example.com".to_owned()];
        let cors = CorsPolicy(&listed);
        assert!(preflight(&cors, "https://inbox.example.com").is_some());
        for origin in ["https://inbox.example.com.evil.example", "http://inbox.example.com", "null", "*"] {
            assert!(preflight(&cors, origin).is_none(), "{origin}");
        }
        assert!(preflight(&CorsPolicy(&[]), "https://inbox.example.com").is_none());
        let plain =
            Request::builder().method(Method::OPTIONS).header(ORIGIN, "https://inbox.example.com").finish();
        assert!(
            CorsPolicy::answer_preflight(&plain, cors.allowed_origin(plain.headers()).as_ref()).is_none()
        );
    }
}
