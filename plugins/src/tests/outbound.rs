//! Calls to other hosts: only allowed ones, bounded, and told in the report.

use std::sync::Mutex;

use super::hostile::{CALL, with_fetch};
use super::*;
use crate::HookOutcome;

/// Keeps what it was asked for.
#[derive(Default)]
struct Recording(Mutex<Vec<FetchRequest>>);

impl HttpFetcher for Recording {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchAnswer, FetchError>> {
        self.0.lock().unwrap().push(request);
        let answer = FetchAnswer { status: 204, headers: Vec::new(), body: Bytes::new() };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

async fn called(calls: usize, change: impl FnOnce(&mut Invocation)) -> (RunReport, Vec<FetchRequest>) {
    let recording = Arc::new(Recording::default());
    let host = PluginHost::new(options(), recording.clone(), Arc::new(AnyDraft)).unwrap();
    let version =
        version(&host, component(&with_fetch(), &format!("{} (i32.const 64)", CALL.repeat(calls)))).await;
    let mut invocation = invocation();
    change(&mut invocation);
    let report = host.run(&version, invocation).await;
    assert_eq!(report.outcome, HookOutcome::Succeeded);
    let requests = recording.0.lock().unwrap().clone();
    (report, requests)
}

#[tokio::test]
async fn an_allowed_host_is_called_with_the_events_key() {
    let (report, requests) = called(2, |_| {}).await;
    assert_eq!(
        report.http_calls.iter().map(|call| call.answer.clone()).collect::<Vec<_>>(),
        [Ok(204), Ok(204)]
    );
    let event = sample::event(EventType::MessageStatus).event.id;
    let keys: Vec<String> = requests.iter().map(|request| request.headers[0].1.to_string()).collect();
    assert_eq!(keys, [format!("{event}-plg_1-1"), format!("{event}-plg_1-2")]);
    assert_eq!(requests[0].headers[0].0.as_ref(), "idempotency-key");
    assert_eq!((requests[0].method.as_ref(), requests[0].url.as_ref()), ("POST", "https://chat.example/"));
    assert_eq!(requests[0].timeout, RunLimits::default().http_timeout);
    assert_eq!(requests[0].answer_bytes_max, 1 << 20);
}

#[tokio::test]
async fn no_other_host_is_called() {
    let (report, requests) = called(1, |invocation| invocation.allowed_hosts = AllowedHosts::default()).await;
    assert!(requests.is_empty() && report.http_calls.is_empty());
}

#[tokio::test]
async fn calls_come_to_an_end() {
    let (_, requests) = called(12, |_| {}).await;
    assert_eq!(requests.len(), 8);
}

#[tokio::test]
async fn captured_calls_are_not_made() {
    let (report, requests) = called(1, |invocation| invocation.outbound = OutboundMode::Captured).await;
    assert!(requests.is_empty());
    let [call] = report.http_calls.as_slice() else { panic!("{:?}", report.http_calls) };
    assert_eq!((call.url.as_ref(), &call.answer), ("https://chat.example/", &Ok(200)));
    assert_eq!(call.body.as_deref(), Some(b"".as_slice()));
}
