//! A reader of server-sent events, as the standard wants it (WHATWG HTML, 9.2.6).

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{Tenant, patiently};

/// What stands between two blank lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<i64>,
    pub(crate) event: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) retry: Option<u64>,
}

impl Frame {
    /// The event in it.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.data.as_ref().expect("data")).expect("JSON")
    }

    fn read(text: &str) -> Self {
        let mut frame = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field in {line:?}"));
            match field {
                "id" => frame.id = Some(value.parse().unwrap()),
                "event" => frame.event = Some(value.to_owned()),
                "data" => assert!(frame.data.replace(value.to_owned()).is_none(), "one line of data"),
                "" => frame.comment = Some(value.to_owned()),
                "retry" => frame.retry = Some(value.parse().unwrap()),
                other => panic!("no field of the standard: {other}"),
            }
        }
        frame
    }
}

/// An open stream. Dropping it hangs up.
pub(crate) struct Stream {
    pub(crate) headers: HeaderMap,
    response: reqwest::Response,
    heard: Vec<u8>,
}

impl Stream {
    /// Opens a stream that must be granted.
    pub(crate) async fn open(tenant: &Tenant, tail: &str, headers: &[(&str, &str)]) -> Self {
        let response = tenant.api.open(&tenant.path(tail), headers).await;
        assert_eq!(response.status().as_u16(), 200, "{tail}");
        Self { headers: response.headers().clone(), response, heard: Vec::new() }
    }

    /// The next frame of any kind; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.heard.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.heard.drain(..end + 2).collect();
                return Some(Frame::read(std::str::from_utf8(&frame).unwrap().trim_end()));
            }
            match patiently(self.response.chunk()).await {
                Ok(Some(chunk)) => self.heard.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event; what else comes meanwhile is passed over.
    pub(crate) async fn event(&mut self) -> Frame {
        loop {
            let frame = self.frame().await.expect("the stream goes on");
            if frame.data.is_some() {
                return frame;
            }
        }
    }

    /// So many events.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Frame> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }
}
