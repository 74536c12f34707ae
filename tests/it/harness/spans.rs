//! The spans that the code under test opens on this thread, with their fields as texts.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// A span: its name, and its fields by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedSpan {
    pub(crate) name: &'static str,
    pub(crate) fields: BTreeMap<&'static str, String>,
}

impl RecordedSpan {
    /// Returns a field; an empty text for one that was not recorded.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for RecordedSpan {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

/// A second subscriber beside a test's. While there is only one, a thread without a subscriber that meets a span first
/// turns this span off for all threads.
static SILENT: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// Recorder of the spans of a test. It sees a test of one thread whole, and nothing of other tests.
#[derive(Clone, Default)]
pub(crate) struct SpanRecorder(Arc<Mutex<BTreeMap<u64, RecordedSpan>>>);

impl SpanRecorder {
    /// Records the spans of this thread until the guard is dropped.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        LazyLock::force(&SILENT);
        let recorder = Self::default();
        let subscriber = tracing_subscriber::registry().with(SpanLayer(recorder.clone()));
        (recorder, tracing::subscriber::set_default(subscriber))
    }

    /// Returns the spans of this name, in the order in which they were opened.
    pub(crate) fn spans_of(&self, name: &str) -> Vec<RecordedSpan> {
        self.0.lock().unwrap().values().filter(|span| span.name == name).cloned().collect()
    }
}

struct SpanLayer(SpanRecorder);

impl<S> Layer<S> for SpanLayer
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut span = RecordedSpan { name: attributes.metadata().name(), fields: BTreeMap::new() };
        attributes.record(&mut span);
        let mut spans = self.0.0.lock().unwrap();
        // The registry gives an id again once its span is closed.
        let nth = u64::try_from(spans.len()).unwrap();
        spans.insert(nth, span);
        drop(spans);
        if let Some(opened) = context.span(id) {
            opened.extensions_mut().insert(nth);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let nth = context.span(id).and_then(|span| span.extensions().get::<u64>().copied());
        let mut spans = self.0.0.lock().unwrap();
        if let Some(span) = nth.and_then(|nth| spans.get_mut(&nth)) {
            values.record(span);
        }
    }
}
