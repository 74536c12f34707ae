//! As much of HTTP/1.1 as a load generator needs: prepared requests out, whole answers in.
//!
//! Invariant: an answer is never taken for more than it is. What this reader does not know
//! (chunked bodies, an end in the middle) is an error, so that no figure rests on a misreading.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer of a healthy server takes longer.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);
const READ_BYTES: usize = 64 * 1024;

/// One answer, as long as the connection keeps its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    head: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Answer<'_> {
    /// The value of a header, which is named in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(header(self.head, name)?).ok()
    }

    /// The answer in a few words, for a complaint.
    pub(super) fn excerpt(&self) -> String {
        let start = self.body.get(..self.body.len().min(300)).unwrap_or_default();
        format!("{} {}", self.status, String::from_utf8_lossy(start))
    }
}

/// One kept-alive connection.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a request and reads its answer.
    pub(super) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection within an answer");
            }
            if let Some(head_bytes) = head_end(&self.buffer) {
                let body_bytes = self.read_body(head_bytes).await?;
                let (head, body) = self.buffer.split_at_checked(head_bytes).context("a short answer")?;
                let body = body.get(..body_bytes).context("a short body")?;
                return Ok(Answer { status: status(head)?, head, body });
            }
        }
    }

    async fn read_body(&mut self, head_bytes: usize) -> anyhow::Result<usize> {
        let head = self.buffer.get(..head_bytes).unwrap_or_default();
        let body_bytes = body_bytes(head)?;
        let whole = head_bytes + body_bytes;
        while self.buffer.len() < whole {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection within a body");
            }
        }
        if self.buffer.len() > whole {
            bail!("the server sent more than one answer");
        }
        Ok(body_bytes)
    }
}

/// One request on a connection of its own: status, `ETag`, body.
pub(super) async fn once(
    address: SocketAddr,
    request: &[u8],
) -> anyhow::Result<(u16, Option<String>, Vec<u8>)> {
    let talk = async {
        let mut connection = Connection::open(address).await?;
        let answer = connection.ask(request).await?;
        Ok((answer.status, answer.header("etag").map(str::to_owned), answer.body.to_vec()))
    };
    tokio::time::timeout(WAIT_TIMEOUT, talk).await.context("no answer within a minute")?
}

/// The bytes of a request, whose body is JSON. Header lines are given whole, without line ends.
pub(super) fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Bytes {
    request_of("application/json", method, path, headers, body)
}

/// The same with another kind of body.
pub(super) fn request_of(kind: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Bytes {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: kabar-bench\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str("Content-Type: ");
        text.push_str(kind);
        text.push_str("\r\nContent-Length: ");
        text.push_str(&body.len().to_string());
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// Length of the head with its empty line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        let value = start.eq_ignore_ascii_case(name.as_bytes()).then_some(value)?;
        Some(value.strip_prefix(b":")?.trim_ascii())
    })
}

fn status(head: &[u8]) -> anyhow::Result<u16> {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).context("an answer without a status")
}

fn body_bytes(head: &[u8]) -> anyhow::Result<usize> {
    if matches!(status(head)?, 204 | 304) {
        return Ok(0);
    }
    let length = header(head, "content-length").and_then(|digits| std::str::from_utf8(digits).ok());
    length.and_then(|digits| digits.parse().ok()).context("an answer without a content length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let head = b"HTTP/1.1 200 OK\r\nCONTENT-length: 13\r\nETag: W/\"a:b\"\r\n\r\nrest";
        let end = head_end(head).unwrap();
        assert_eq!(&head[end..], b"rest");
        assert_eq!(status(head).unwrap(), 200);
        assert_eq!(body_bytes(&head[..end]).unwrap(), 13);
        assert_eq!(header(head, "etag").unwrap(), b"W/\"a:b\"");
        assert!(header(head, "tag").is_none());
        assert!(body_bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert_eq!(body_bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n").unwrap(), 0);
        assert!(status(b"SSH-2.0").is_err());
    }

    #[test]
    fn requests_have_a_length_only_with_a_body() {
        let bare = request("GET", "/v1/health", &["A: b"], b"");
        assert!(bare.ends_with(b"User-Agent: kabar-bench\r\nA: b\r\n\r\n"));
        assert!(request("POST", "/", &[], b"{}").ends_with(b"Content-Length: 2\r\n\r\n{}"));
    }
}
