//! Compression: chosen by `Accept-Encoding` (RFC 9110, 12.5.3), for bodies above a minimum size.
//!
//! Weak tags stay as they are: a weak tag names the content, not its coding.

use bytes::Bytes;
use poem::IntoResponse as _;
use poem::http::HeaderMap;
use poem::http::header::{ACCEPT_ENCODING, HeaderValue};
use poem::web::{Compress, CompressionAlgo, CompressionLevel};

/// Largest body that is not compressed: it fits into a packet or two anyway (contract, section 1).
const WORTH_BYTES: usize = 1024;

/// A content coding that this server supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    Gzip,
    Zstd,
    Brotli,
}

impl ContentCoding {
    /// Codings in this server's order of preference. Gzip is first, because a polled page is compressed once
    /// and sent many times. The others follow by bytes saved per CPU cycle.
    pub(crate) const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::Brotli];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    const fn compression_algorithm(self) -> CompressionAlgo {
        match self {
            Self::Zstd => CompressionAlgo::ZSTD,
            Self::Brotli => CompressionAlgo::BR,
            Self::Gzip => CompressionAlgo::GZIP,
        }
    }

    /// Returns the client's preferred coding among those of this server; `None` when it prefers no coding.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut weights = CodingWeights::default();
        for line in headers.get_all(ACCEPT_ENCODING) {
            line.to_str().unwrap_or_default().split(',').for_each(|item| weights.add_weight(item));
        }
        let weighted = Self::ALL.map(|coding| (coding, weights.weight_of(coding.as_str())));
        // Of equal weights the last one wins, so codings are tried from the least preferred up.
        let (coding, weight) = weighted.into_iter().rev().max_by_key(|(_, weight)| *weight)?;
        (weight > 0 && weight >= weights.of_identity()).then_some(coding)
    }

    /// Returns the compressed body and its `Content-Encoding`; `None` when the body is too small, or
    /// compression fails.
    pub(crate) async fn compress_body(self, body: &Bytes) -> Option<(HeaderValue, Bytes)> {
        if !is_worth_it(body.len()) {
            return None;
        }
        let plain = poem::Body::from_bytes(body.clone());
        let compress =
            Compress::new(plain, self.compression_algorithm()).with_quality(CompressionLevel::Fastest);
        let small = compress.into_response().into_body().into_bytes().await.ok()?;
        Some((self.into(), small))
    }
}

impl From<ContentCoding> for HeaderValue {
    fn from(encoding: ContentCoding) -> Self {
        Self::from_static(encoding.as_str())
    }
}

/// Returns `true` when a body of this size is compressed.
pub(crate) const fn is_worth_it(bytes: usize) -> bool {
    bytes > WORTH_BYTES
}

/// Weights of codings in thousandths, as the client gave them.
#[derive(Debug, Default)]
struct CodingWeights {
    named: [Option<u16>; 3],
    identity: Option<u16>,
    others: Option<u16>,
}

impl CodingWeights {
    fn add_weight(&mut self, item: &str) {
        let (name, weight) = weight_of_item(item);
        let weight = Some(weight);
        if name == "*" {
            self.others = weight;
        } else if name.eq_ignore_ascii_case("identity") {
            self.identity = weight;
        } else {
            let slots = self.named.iter_mut().zip(ContentCoding::ALL);
            slots.filter(|(_, coding)| is_named(name, *coding)).for_each(|(slot, _)| *slot = weight);
        }
    }

    fn weight_of(&self, name: &str) -> u16 {
        let mut slots = self.named.iter().zip(ContentCoding::ALL);
        let named = slots.find(|(_, coding)| coding.as_str() == name).and_then(|(weight, _)| *weight);
        named.or(self.others).unwrap_or(0)
    }

    /// Weight of `identity`: always acceptable, and preferred only if the client says so.
    fn of_identity(&self) -> u16 {
        self.identity.unwrap_or(0)
    }
}

/// Returns `true` for a name of the coding; `x-gzip` is gzip (RFC 9110, 8.4.1.3).
fn is_named(name: &str, coding: ContentCoding) -> bool {
    name.eq_ignore_ascii_case(coding.as_str())
        || (coding == ContentCoding::Gzip && name.eq_ignore_ascii_case("x-gzip"))
}

/// Splits an item of a list like `Accept` into its name and its weight in thousandths (RFC 9110, 12.4.2). A weight that
/// cannot be parsed counts as 0.
pub(super) fn weight_of_item(item: &str) -> (&str, u16) {
    let mut parts = item.split(';');
    let name = parts.next().unwrap_or_default().trim();
    let weight = parts.find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| parse_weight(value.trim()))
    });
    (name, weight.map_or(1000, Option::unwrap_or_default))
}

/// Parses a weight: `0`, `0.5`, `1.000` (RFC 9110, 12.4.2).
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let well_formed = rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = if rest.is_empty() { 0 } else { format!("{rest:0<3}").parse().ok()? };
    match whole {
        "0" if well_formed => Some(fraction),
        "1" if well_formed && fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(line: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        ContentCoding::from_headers(&headers).map(ContentCoding::as_str)
    }

    #[test]
    fn the_clients_weights_decide_then_ours() {
        let cases = [
            ("gzip, deflate, br, zstd", Some("gzip")),
            ("br, zstd", Some("zstd")),
            ("gzip;q=1.0, br;q=0.5", Some("gzip")),
            ("gzip, br", Some("gzip")),
            ("GZIP", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("gzip;q=0.001", Some("gzip")),
            ("*", Some("gzip")),
            ("gzip;q=0, *;q=0.5", Some("zstd")),
            ("gzip;q=0.5, identity;q=0.5", Some("gzip")),
            ("gzip;q=0.4, identity", None),
            ("gzip;q=0", None),
            ("gzip;q=junk", None),
            ("gzip;q=1.5", None),
            ("deflate", None),
            ("identity", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(chosen(line), expected, "{line}");
        }
        assert_eq!(ContentCoding::from_headers(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn small_bodies_stay_and_large_ones_shrink() {
        for coding in ContentCoding::ALL {
            assert!(coding.compress_body(&vec![b'x'; WORTH_BYTES].into()).await.is_none());
            let (name, small) = coding.compress_body(&vec![b'x'; WORTH_BYTES + 1].into()).await.unwrap();
            assert_eq!(name, coding.as_str());
            assert!(!small.is_empty() && small.len() < 200, "{coding:?} {}", small.len());
        }
    }
}
