//! Client of a server's API for the commands: requests with a credential, JSON in and out.

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// One part of a server's API, with the credential that opens it.
pub(super) struct ApiClient<'a> {
    url: &'a str,
    folder: &'static str,
    credential: &'a str,
}

/// A page of a list.
pub(super) struct ListPage {
    /// Rows of the page.
    pub(super) rows: Vec<Value>,
    /// Cursor of the next page; `None` on the last one.
    pub(super) next: Option<String>,
}

impl<'a> ApiClient<'a> {
    /// Creates a client of the API below `folder` of the server at `url`.
    pub(super) fn new(url: &'a str, folder: &'static str, credential: &'a str) -> Self {
        Self { url: url.trim_end_matches('/'), folder, credential }
    }

    /// Builds a request to a path below the folder.
    pub(super) fn build_request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/{}/{path}", self.url, self.folder);
        Client::new().request(method, url).bearer_auth(self.credential)
    }

    /// Sends the request and reads the whole response; null where it has no body.
    pub(super) async fn read_answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.send().await.with_context(|| format!("no answer from {}", self.url))?;
        let status = answer.status();
        let text = answer.text().await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !status.is_success() {
            let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or(&text);
            bail!("{status}: {message}");
        }
        Ok(answer)
    }

    /// Sends the request and reads the response's `data`.
    pub(super) async fn read_data(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        Ok(self.read_answer(request).await?.get("data").cloned().unwrap_or_default())
    }

    /// Reads a page of a list; the first one without a cursor.
    pub(super) async fn read_page(&self, path: &str, cursor: Option<&str>) -> anyhow::Result<ListPage> {
        let mut request = self.build_request(Method::GET, path).query(&[("limit", "100")]);
        if let Some(cursor) = cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page = self.read_answer(request).await?;
        let rows = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(ListPage { rows, next: page.get("next_cursor").and_then(Value::as_str).map(str::to_owned) })
    }
}
