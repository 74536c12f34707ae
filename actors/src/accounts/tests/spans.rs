//! Spans: which ones there are, and that they hold ids only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use super::fixture::AccountFixture;
use crate::context::AccountRegistryOptions;

#[derive(Default)]
struct Recorded {
    spans: Mutex<Vec<(&'static str, Vec<&'static str>)>>,
    last_id: AtomicU64,
}

/// Notes the name of each span that begins on this thread, and the names of its fields.
#[derive(Clone, Default)]
pub(crate) struct SpanRecorder(Arc<Recorded>);

impl SpanRecorder {
    /// Records until the guards are dropped.
    pub(crate) fn start() -> (Self, (Dispatch, DefaultGuard)) {
        let recorder = Self::default();
        // As long as there is but one, a span that begins first on the thread of another test is off for all.
        let second = Dispatch::new(recorder.clone());
        let guard = tracing::subscriber::set_default(recorder.clone());
        (recorder, (second, guard))
    }

    /// The fields of the first span of this name; none without such a span.
    pub(crate) fn fields_of(&self, name: &str) -> Vec<&'static str> {
        let spans = self.0.spans.lock().unwrap();
        spans.iter().find(|(one, _)| *one == name).map(|(_, fields)| fields.clone()).unwrap_or_default()
    }
}

impl Subscriber for SpanRecorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let metadata = span.metadata();
        let fields = metadata.fields().iter().map(|field| field.name()).collect();
        self.0.spans.lock().unwrap().push((metadata.name(), fields));
        Id::from_u64(self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn a_commit_is_a_span_that_names_its_account_only() {
    let (spans, _recording) = SpanRecorder::start();
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    fixture.ingest(0, 1).await;
    assert_eq!(spans.fields_of("account.commit"), ["account"]);
}
