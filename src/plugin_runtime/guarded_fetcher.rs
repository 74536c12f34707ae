//! HTTP calls of hooks, sent by the outbound client that guards against private addresses.

use futures_util::future::BoxFuture;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use kabar_core::outbound::{OutboundClient, OutboundError, OutboundRequest};
use kabar_plugins::{FetchAnswer, FetchError, FetchRequest, HttpFetcher};

/// The outbound client as the fetcher of the plugin host.
pub(crate) struct GuardedFetcher(pub(crate) OutboundClient);

fn refuse_fetch(why: &str) -> FetchError {
    FetchError::Refused(why.into())
}

/// Converts a request into one of the client.
fn build_request(client: &OutboundClient, request: &FetchRequest) -> Result<OutboundRequest, FetchError> {
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let name = HeaderName::try_from(&**name).map_err(|error| refuse_fetch(&error.to_string()))?;
        let value = HeaderValue::try_from(&**value).map_err(|error| refuse_fetch(&error.to_string()))?;
        headers.append(name, value);
    }
    let target = client.target(&request.url).map_err(|error| refuse_fetch(&error.to_string()))?;
    Ok(OutboundRequest {
        tenant: request.organisation_id,
        method: Method::try_from(&*request.method).map_err(|error| refuse_fetch(&error.to_string()))?,
        target,
        headers,
        body: request.body.clone(),
        timeout: request.timeout,
        answer_bytes_max: request.answer_bytes_max,
        // The header with plugin, event and call lets the receiver recognise a repetition.
        repeatable: true,
    })
}

impl HttpFetcher for GuardedFetcher {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchAnswer, FetchError>> {
        Box::pin(async move {
            let answer =
                self.0.send(build_request(&self.0, &request)?).await.map_err(|error| match error {
                    OutboundError::Refused(why) => refuse_fetch(&why.to_string()),
                    OutboundError::Late(_) => FetchError::TimedOut,
                    OutboundError::Method
                    | OutboundError::Unresolved(_)
                    | OutboundError::Unreached(_)
                    | OutboundError::Untrusted(_)
                    | OutboundError::Broken(_) => FetchError::Failed(error.to_string().into()),
                })?;
            if answer.truncated {
                return Err(FetchError::TooLarge);
            }
            let header = |(name, value): (&HeaderName, &HeaderValue)| {
                (name.as_str().into(), String::from_utf8_lossy(value.as_bytes()).into())
            };
            Ok(FetchAnswer {
                status: answer.status.as_u16(),
                headers: answer.headers.iter().map(header).collect(),
                body: answer.body,
            })
        })
    }
}
