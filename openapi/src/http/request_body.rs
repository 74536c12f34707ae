//! Reads request bodies whole, so that no operation gets a body beyond its limit.
//!
//! Runs after the key and the budget: an unauthenticated body is never kept.

use poem::error::ReadBodyError;
use poem::http::Method;
use poem::http::header::CONTENT_LENGTH;
use poem::{Body, Request};

use crate::rest::error::ApiError;

/// Reads the body into memory, if the method has one.
pub(super) async fn read_body(request: &mut Request, bytes_max: usize) -> Result<(), ApiError> {
    // A GET's body has no meaning (RFC 9110, 9.3.1), and is not read.
    if request.method() == Method::GET {
        return Ok(());
    }
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| usize::try_from(bytes).map_or(true, |bytes| bytes > bytes_max)) {
        return Err(ApiError::payload_too_large(bytes_max));
    }
    match request.take_body().into_bytes_limit(bytes_max).await {
        Ok(bytes) => {
            request.set_body(Body::from_bytes(bytes));
            Ok(())
        }
        Err(ReadBodyError::PayloadTooLarge) => Err(ApiError::payload_too_large(bytes_max)),
        Err(error) => Err(ApiError::from(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::BodyLimits;
    use crate::http::route::{Resource, Route};
    use crate::rest::error::ErrorCode;

    async fn outcome_at(path: &str, bytes: usize, announced: bool) -> Result<(), ErrorCode> {
        let limits = BodyLimits { json_bytes: 8, ingress_bytes: 16, component_bytes: 32 };
        let builder = Request::builder().method(Method::POST).uri_str(path);
        let builder = if announced { builder.header(CONTENT_LENGTH, bytes) } else { builder };
        let mut request = builder.body(vec![b'x'; bytes]);
        read_body(&mut request, Route::parse_path(path).body_limit().bytes_max(&limits))
            .await
            .map_err(|error| error.code())
    }

    #[tokio::test]
    async fn bodies_end_at_the_limit_announced_or_not() {
        for announced in [true, false] {
            let webhook = Resource::WhatsAppWebhook.path_template();
            for (path, bytes_max) in [("/v1/x", 8), (webhook, 16), ("/v1/plugins/plg_1/versions", 32)] {
                assert_eq!(outcome_at(path, bytes_max, announced).await, Ok(()));
                let beyond = outcome_at(path, bytes_max + 1, announced).await;
                assert_eq!(beyond, Err(ErrorCode::PayloadTooLarge));
            }
        }
    }
}
