//! Bodies: their limits, their rate, and their common budget.

use futures_util::stream;
use kabar_core::domain::time::Timestamp;

use super::*;
use crate::app::BodyLimits;
use crate::http::body_budget::BodyBudget;
use crate::http::route::{Resource, Route};

async fn outcome_at(path: &str, bytes: usize, announced: bool) -> Result<(), ErrorCode> {
    let limits =
        BodyLimits { json_bytes: 8, ingress_bytes: 16, component_bytes: 32, ..BodyLimits::default() };
    let builder = Request::builder().method(Method::POST).uri_str(path);
    let builder = if announced { builder.header(CONTENT_LENGTH, bytes) } else { builder };
    let mut request = builder.body(vec![b'x'; bytes]);
    let bytes_max = Route::parse_path(path).body_limit().bytes_max(&limits);
    let rules = BodyRules { bytes_max, clock: &Clock::system_clock(), share: None };
    read_body(&mut request, rules).await.map_err(|error| ApiError::from(error).code())
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

/// Advances the clock by these windows before a chunk of so many bytes comes.
async fn outcome_of(steps: &[(u32, usize)]) -> Result<usize, BodyError> {
    let clock = Clock::manual_clock(Timestamp::from_seconds(1_000));
    let chunks = stream::iter(steps).then(|(windows, bytes)| {
        let clock = &clock;
        async move {
            for _ in 0..*windows {
                // The reader sees the end of each window before the next one.
                tokio::task::yield_now().await;
                clock.advance_manual(RATE_WINDOW);
                tokio::task::yield_now().await;
            }
            Ok(Bytes::from(vec![b'x'; *bytes]))
        }
    });
    let rules = BodyRules { bytes_max: 1 << 20, clock: &clock, share: None };
    collect_chunks(chunks, &rules).await.map(|bytes| bytes.len())
}

#[tokio::test]
async fn a_body_comes_at_the_rate_or_is_refused() {
    let least = BYTES_PER_WINDOW;
    assert_eq!(outcome_of(&[]).await, Ok(0));
    assert_eq!(outcome_of(&[(1, 10), (0, 5)]).await, Ok(15), "the first window asks for nothing");
    assert_eq!(outcome_of(&[(2, 10)]).await, Err(BodyError::TooSlow));
    assert_eq!(outcome_of(&[(1, least), (1, least), (1, 1)]).await, Ok(2 * least + 1));
    assert_eq!(outcome_of(&[(1, least), (1, least - 1), (1, 1)]).await, Err(BodyError::TooSlow));
}

#[tokio::test]
async fn bodies_share_the_budget() {
    let budget = BodyBudget::new(10);
    let clock = Clock::system_clock();
    let read = async |share: &BodyShare, bytes: usize| {
        let rules = BodyRules { bytes_max: 100, clock: &clock, share: Some(share) };
        let chunks = stream::iter([Ok(Bytes::from(vec![b'x'; bytes]))]);
        collect_chunks(chunks, &rules).await.map(|bytes| bytes.len())
    };
    let (first, second) = (budget.open_share(), budget.open_share());
    assert_eq!(read(&first, 8).await, Ok(8));
    assert_eq!(read(&second, 3).await, Err(BodyError::NoBudget));
    drop(first);
    assert_eq!(read(&second, 10).await, Ok(10));
}
